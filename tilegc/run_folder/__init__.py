"""The folder of a run: who may write there, what is done, what it holds, whether it is still as it was."""

from __future__ import annotations

from tilegc.run_folder.dropping import keep_products
from tilegc.run_folder.extending import with_more_stars
from tilegc.run_folder.folder import RunFolder
from tilegc.run_folder.heartbeat import Heartbeat, beating
from tilegc.run_folder.layout import MAPS, PRODUCTS
from tilegc.run_folder.ledger import Ledger
from tilegc.run_folder.log import logged
from tilegc.run_folder.opening import Run, open_run
from tilegc.run_folder.status import PassStatus, Status, status, strangers, verify
from tilegc.run_folder.token import Token, marked

__all__ = [
    "MAPS",
    "PRODUCTS",
    "Heartbeat",
    "Ledger",
    "PassStatus",
    "Run",
    "RunFolder",
    "Status",
    "Token",
    "beating",
    "keep_products",
    "logged",
    "marked",
    "open_run",
    "status",
    "strangers",
    "verify",
    "with_more_stars",
]
