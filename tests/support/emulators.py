"""Google's and Azure's object stores as their emulators serve them, on the loopback.

gs:// needs `gcsfs` and `gcp-storage-emulator` from PyPI, az:// `adlfs` from PyPI and `azurite` from npm; without them
whoever asks is skipped.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence

from tests.support.slurm import free_ports

__all__ = ["azure", "google", "missing"]

# The emulator takes no notice of a precondition, which Google's own service keeps: 412 where there is an object.
GOOGLE = """
import sys
from gcp_storage_emulator import server
from gcp_storage_emulator.storage import Storage

class Refused(Exception): pass

only_new = False
write, handle = Storage.create_file, server.Router.handle

def create_file(self, bucket, name, *arguments, **options):
    if only_new and name in self.objects.get(bucket, {}):
        raise Refused
    return write(self, bucket, name, *arguments, **options)

def handled(self, method):
    global only_new
    only_new = "ifGenerationMatch=0" in self._request_handler.path
    try:
        handle(self, method)
    except Refused:
        self._request_handler.send_error(412)

Storage.create_file, server.Router.handle = create_file, handled
server.create_server("127.0.0.1", int(sys.argv[1]), in_memory=True, default_bucket=sys.argv[2]).run()
"""
ACCOUNT = "devstoreaccount1"
# Azurite's own account, whose key its documentation prints.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def missing(protocol: str) -> str | None:
    """Return what is absent for a store of the protocol "gs" or "az", if anything is."""
    modules = {"gs": ("gcsfs", "gcp_storage_emulator"), "az": ("adlfs",)}[protocol]
    programs = {"gs": (), "az": ("azurite-blob",)}[protocol]
    absent = [name for name in modules if importlib.util.find_spec(name) is None]
    absent += [name for name in programs if shutil.which(name) is None]
    return f"{protocol}:// is not served here: no {', '.join(absent)}" if absent else None


@contextlib.contextmanager
def google(bucket: str) -> Iterator[dict[str, str]]:
    """Serve a bucket; what whoever uses it must have in the environment."""
    (port,) = free_ports(1)
    with _serving([sys.executable, "-c", GOOGLE, str(port), bucket], port):
        yield {
            "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # else gcsfs asks Google itself what the bucket is
        }


@contextlib.contextmanager
def azure(container: str) -> Iterator[dict[str, str]]:
    """Serve a container; what whoever uses it must have in the environment."""
    (port,) = free_ports(1)
    program = shutil.which("azurite-blob")
    assert program is not None
    with tempfile.TemporaryDirectory() as folder:
        command = [
            program,
            "--blobHost",
            "127.0.0.1",
            "--blobPort",
            str(port),
            "--location",
            folder,
            "--silent",
            "--skipApiVersionCheck",
            "--disableTelemetry",
        ]
        with _serving(command, port):
            from azure.storage.blob import BlobServiceClient

            described = (
                f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
                f"BlobEndpoint=http://127.0.0.1:{port}/{ACCOUNT};"
            )
            with BlobServiceClient.from_connection_string(described) as client:
                client.create_container(container)
            yield {"AZURE_STORAGE_CONNECTION_STRING": described}


@contextlib.contextmanager
def _serving(command: Sequence[str], port: int) -> Iterator[None]:
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "no_proxy": "*"}) as server,
    ):
        try:
            for _ in range(300):
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/"):
                        break
                except urllib.error.HTTPError:
                    break
                except OSError:
                    assert server.poll() is None
                    time.sleep(0.1)
            else:
                raise TimeoutError(f"{command[0]} does not answer")
            yield
        finally:
            server.terminate()
