"""Everything that tilegc writes, defined once: tables, arrays, units, file names, and versions."""

from __future__ import annotations

from tilegc.schema.arrays import ARRAYS, COMPLETENESS_MAP, MAPS, SKY_GRID, Array
from tilegc.schema.bits import MASK_MEANINGS, Bit, Flag, StarFlag
from tilegc.schema.columns import Column
from tilegc.schema.files import FILES, HERE, MEASURED_BANDS, SKY_STORE, STAR_BATCH, Files
from tilegc.schema.relation import (
    ASSUMPTIONS,
    CUMULATIVE,
    EXCESSES,
    GOODNESS,
    METHODS,
    RANKING,
    RELATION,
    SENSITIVITY,
)
from tilegc.schema.sources import (
    CANDIDATES,
    COMPLETENESS,
    COMPLETENESS_COLUMNS,
    INPAINTED,
    LUMINOSITY,
    MEMBERSHIP_COLUMNS,
    RESPONSE,
    SURROUNDINGS,
    artificial_columns,
    photometry_columns,
)
from tilegc.schema.tables import (
    AUDIT,
    CONTAMINATION,
    MASKED,
    MASSES,
    PATTERN,
    PROFILE,
    PURITY,
    RADIAL,
    SHAPE,
    STARS,
    STUDY_MASK,
)
from tilegc.schema.versions import SCHEMA_VERSION, VERSION

__all__ = [
    "ARRAYS",
    "ASSUMPTIONS",
    "AUDIT",
    "CANDIDATES",
    "COMPLETENESS",
    "COMPLETENESS_COLUMNS",
    "COMPLETENESS_MAP",
    "CONTAMINATION",
    "CUMULATIVE",
    "EXCESSES",
    "FILES",
    "GOODNESS",
    "HERE",
    "INPAINTED",
    "LUMINOSITY",
    "MAPS",
    "MASKED",
    "MASK_MEANINGS",
    "MASSES",
    "MEASURED_BANDS",
    "MEMBERSHIP_COLUMNS",
    "METHODS",
    "PATTERN",
    "PROFILE",
    "PURITY",
    "RADIAL",
    "RANKING",
    "RELATION",
    "RESPONSE",
    "SCHEMA_VERSION",
    "SENSITIVITY",
    "SHAPE",
    "SKY_GRID",
    "SKY_STORE",
    "STARS",
    "STAR_BATCH",
    "STUDY_MASK",
    "SURROUNDINGS",
    "VERSION",
    "Array",
    "Bit",
    "Column",
    "Files",
    "Flag",
    "StarFlag",
    "artificial_columns",
    "photometry_columns",
]
