"""Requirements on the files of a field, and the one line for each violation."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from tilegc import config
from tilegc.errors import AstrometryError, GridError, InputError, UnitError
from tilegc.geometry import Box
from tilegc.io.fits import FieldSource, read_window, row_bands
from tilegc.io.probe import probe_field, probe_mask

SHAPE = (50, 70)


def cards(**more) -> fits.Header:
    header = {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": 342.18,
        "CRVAL2": -44.53,
        "CRPIX1": 35.0,
        "CRPIX2": 25.0,
        "CD1_1": -0.03 / 3600,
        "CD1_2": 0.0,
        "CD2_1": 0.0,
        "CD2_2": 0.03 / 3600,
        "BUNIT": "MJy/sr",
        "PIXAR_SR": 2.1154e-14,
        **more,
    }
    return fits.Header({key: value for key, value in header.items() if value is not None})


def pixels(shape=SHAPE) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def i2d(path: Path, *, shape=SHAPE, sci=None, err=SHAPE, wht=SHAPE, **more) -> str:
    """Write a file like the JWST pipeline's `_i2d`, with extensions that are none of ours."""
    hdus = fits.HDUList(
        [fits.PrimaryHDU(), fits.ImageHDU(pixels(shape) if sci is None else sci, cards(**more))]
    )
    hdus[1].name = "SCI"
    if err is not None:
        hdus.append(
            fits.ImageHDU(np.full(err, 0.5, np.float32), fits.Header({"BUNIT": "MJy/sr"}), name="ERR")
        )
    hdus.append(fits.ImageHDU(np.zeros((2, *shape), np.int32), name="CON"))
    if wht is not None:
        hdus.append(fits.ImageHDU(np.full(wht, 4.0, np.float32), name="WHT"))
    hdus.append(fits.BinTableHDU(np.zeros(7, dtype=[("x", "u1")]), name="ASDF"))
    hdus.writeto(path)
    return str(path)


def flat(path: Path, values=None, **more) -> str:
    fits.PrimaryHDU(pixels() if values is None else values, cards(**more)).writeto(path)
    return str(path)


def probe(*bands, **options) -> FieldSource:
    """Probe a field of bands A, B, ...: paths or mappings."""
    named = {"ABCD"[number]: band for number, band in enumerate(bands)}
    return probe_field(config.FieldInput(name="f", bands=named), **options)


def test_i2d_extensions_find_themselves(tmp_path):
    source = probe(i2d(tmp_path / "a.fits"))
    (band,) = source.bands
    assert (source.name, source.shape, source.band_names) == ("f", SHAPE, ("A",))
    assert (source.has_err, source.has_wht, source.windowed, source.store) == (True, True, True, None)
    assert (band.sci.hdu, band.err.hdu, band.wht.hdu) == (1, 2, 4)
    assert source.scale == pytest.approx(0.03, rel=1e-6)
    assert source.pixel_area == pytest.approx(9e-4, rel=1e-6)
    factor = 1e15 * 2.1154e-14
    box = Box(1, 2, 3, 4)
    assert read_window(band.err, box)[0, 0] == np.float32(0.5 * factor)
    assert read_window(band.wht, box)[0, 0] == pytest.approx(4 / factor**2, rel=1e-6)
    assert source.paths == (str(tmp_path / "a.fits"),)
    assert [(name, number) for name, number, _ in source.planes()] == [("sci", 0), ("err", 0), ("wht", 0)]
    assert source.notes == ()


def test_flat_files_of_a_band_and_bands_that_differ_in_what_they_have(tmp_path):
    source = probe(
        {"sci": flat(tmp_path / "s.fits"), "wht": flat(tmp_path / "w.fits", BUNIT="10.0*nanoJansky")},
        flat(tmp_path / "b.fits", BUNIT="uJy"),
    )
    first, second = source.bands
    assert (source.has_err, source.has_wht) == (False, True)
    assert first.wht.factor == first.sci.factor**-2
    assert (second.wht, second.sci.factor) == (None, 1e3)


def test_err_in_a_unit_of_its_own(tmp_path):
    sci = flat(tmp_path / "s.fits", BUNIT="nJy")
    own = flat(tmp_path / "e.fits", BUNIT="uJy")
    per_sr = flat(tmp_path / "r.fits")
    bare = flat(tmp_path / "n.fits", BUNIT=None)
    assert [probe({"sci": sci, "err": err}).bands[0].err.factor for err in (own, bare)] == [1e3, 1.0]
    assert probe({"sci": sci, "err": per_sr}).bands[0].err.factor == 1e15 * 2.1154e-14


def test_gzip_is_known_by_its_bytes_and_needs_no_unpacking_to_be_seen_whole(tmp_path):
    path = tmp_path / "a.dat"
    path.write_bytes(gzip.compress(Path(flat(tmp_path / "a.fits")).read_bytes()))
    source = probe(str(path))
    assert source.bands[0].sci.kind == "gzip"
    assert not source.windowed


def test_second_member_of_a_gzip_file_is_read_through(tmp_path):
    raw = Path(i2d(tmp_path / "a.fits")).read_bytes()
    path = tmp_path / "a.fits.gz"
    path.write_bytes(gzip.compress(raw[:20000]) + gzip.compress(raw[20000:]))  # as `cat a.gz b.gz` makes it
    source = probe(str(path))
    assert source.bands[0].wht.hdu == 4
    ((_, wht),) = row_bands(source.bands[0].wht, 100)
    assert (wht == wht[0, 0]).all()


def test_a_grid_within_the_tolerance_is_one_grid(tmp_path):
    source = probe(flat(tmp_path / "a.fits"), flat(tmp_path / "b.fits", CRPIX1=35.04))
    assert len(source.bands) == 2
    # the same grid written with another reference pixel's matrix
    source = probe(
        flat(tmp_path / "c.fits"),
        flat(
            tmp_path / "d.fits",
            **dict.fromkeys(("CD1_1", "CD1_2", "CD2_1", "CD2_2")),
            CDELT1=-0.03 / 3600,
            CDELT2=0.03 / 3600,
        ),
    )
    assert len(source.bands) == 2
    assert source.scale == pytest.approx(0.03)


def test_remarks_for_the_log(tmp_path):
    (note,) = probe(flat(tmp_path / "a.fits", PIXAR_SR=3e-14)).notes
    assert "PIXAR_SR" in note
    assert "1.418" in note
    assert probe(flat(tmp_path / "b.fits", BUNIT="10.0*nanoJansky", PIXAR_SR=3e-14)).notes == ()


def truncated(path: str, keep: float) -> str:
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[: keep if isinstance(keep, int) else int(len(whole) * keep)])
    return path


def packed(path: str, keep: int | None = None, *, level: int = 6) -> str:
    """Compress, then leave out the last bytes."""
    target = Path(path + ".gz")
    target.write_bytes(gzip.compress(Path(path).read_bytes(), level)[: keep and -keep])
    return str(target)


def written(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def in_two_hdus(path: Path, *, drop: int) -> str:
    """Write SCI and WHT only, and cut the file's end."""
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(pixels(), cards(), name="SCI")]
    fits.HDUList([*hdus, fits.ImageHDU(pixels(), name="WHT")]).writeto(path)
    return truncated(str(path), path.stat().st_size - drop)


def nothing(path: Path) -> str:
    fits.HDUList([fits.PrimaryHDU(header=cards())]).writeto(path)
    return str(path)


def table(path: Path) -> str:
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(np.zeros(7, dtype=[("x", "u1")]))]).writeto(path)
    return str(path)


def rice_in_gzip(path: Path) -> str:
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(pixels(), cards())]).writeto(path)
    return packed(str(path))


def scale_of_text(path: Path) -> str:
    whole = Path(flat(path, BSCALA="one")).read_bytes()
    return written(path, whole.replace(b"BSCALA", b"BSCALE"))


def broken_header(path: Path) -> str:
    whole = Path(flat(path)).read_bytes()
    return written(path, whole.replace(b"NAXIS1  =                   70", b"NAXIS1  = 'seventy '          "))


Bad = Callable[[Path], tuple[object, ...]]

NO_WCS = dict.fromkeys(("CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2"))

BAD: dict[str, tuple[type[InputError], str, Bad]] = {
    "absent": (InputError, "no such file", lambda d: (str(d / "none.fits"),)),
    "absent weight": (
        InputError,
        "no such file",
        lambda d: ({"sci": flat(d / "a.fits"), "wht": str(d / "none.fits")},),
    ),
    "folder": (InputError, "is a directory", lambda d: (str(d),)),
    "empty": (InputError, "empty file", lambda d: (written(d / "a.fits", b""),)),
    "not FITS": (InputError, "not a FITS file", lambda d: (written(d / "a.fits", b"hello" * 1000),)),
    "an error page": (InputError, "not a FITS file", lambda d: (written(d / "a.fits", b"<html>"),)),
    "text in gzip": (
        InputError,
        "not a FITS file",
        lambda d: (packed(written(d / "a.fits", b"hello" * 1000)),),
    ),
    "cut in the first header": (InputError, "truncated", lambda d: (truncated(i2d(d / "a.fits"), 1000),)),
    "cut in SCI": (
        InputError,
        r"truncated in HDU 1 \(SCI\)",
        lambda d: (truncated(i2d(d / "a.fits"), 9000),),
    ),
    "cut between ERR and WHT": (
        InputError,
        "truncated in HDU",
        lambda d: (truncated(i2d(d / "a.fits"), 0.5),),
    ),
    "cut in the last extension": (
        InputError,
        r"truncated in HDU 2 \(WHT\)",
        lambda d: (in_two_hdus(d / "a.fits", drop=2881),),
    ),
    "cut in the last padding": (InputError, "truncated", lambda d: (in_two_hdus(d / "a.fits", drop=1),)),
    "cut in the last header": (
        InputError,
        "truncated in the header of HDU 2",
        lambda d: (in_two_hdus(d / "a.fits", drop=14400 + 80),),
    ),
    "gzip cut in the data": (InputError, "truncated", lambda d: (packed(flat(d / "a.fits"), 3000),)),
    "gzip cut by its last byte": (InputError, "truncated", lambda d: (packed(flat(d / "a.fits"), 1),)),
    "gzip cut in the last extension": (InputError, "truncated", lambda d: (packed(i2d(d / "a.fits"), 20),)),
    "gzip of a cut file": (
        InputError,
        "truncated in HDU 0",
        lambda d: (packed(truncated(flat(d / "a.fits"), 9000)),),
    ),
    "gzip of three bytes": (InputError, "gzip", lambda d: (written(d / "a.fits.gz", b"\x1f\x8b\x08"),)),
    "compressed twice": (InputError, "gunzip", lambda d: (rice_in_gzip(d / "a.fits"),)),
    "a header of nonsense": (
        InputError,
        "HDU 0 cannot be understood",
        lambda d: (broken_header(d / "a.fits"),),
    ),
    "no image": (InputError, "contains no image", lambda d: (nothing(d / "a.fits"),)),
    "cut compressed image": (
        InputError,
        "truncated in HDU 1",
        lambda d: (truncated(rice_in_gzip(d / "a.fits")[:-3], 0.8),),
    ),
    "a table": (InputError, "contains no image", lambda d: (table(d / "a.fits"),)),
    "three axes": (
        InputError,
        "3 axes of 3 x 50 x 70",
        lambda d: (flat(d / "a.fits", pixels((3, *SHAPE))),),
    ),
    "one axis": (InputError, "1 axes of 50", lambda d: (flat(d / "a.fits", pixels((50,))),)),
    "no WCS": (AstrometryError, "no celestial WCS", lambda d: (flat(d / "a.fits", **NO_WCS),)),
    "a WCS without a scale": (
        AstrometryError,
        "pixels of 3600 arcsec",
        lambda d: (flat(d / "a.fits", **dict.fromkeys(("CD1_1", "CD1_2", "CD2_1", "CD2_2"))),),
    ),
    "oblong pixels": (AstrometryError, "not square", lambda d: (flat(d / "a.fits", CD1_1=-0.06 / 3600),)),
    "distortions in tables": (
        AstrometryError,
        "distortions in tables",
        lambda d: (flat(d / "a.fits", CPDIS1="Lookup"),),
    ),
    "unknown unit": (UnitError, "ELECTRONS/S", lambda d: (flat(d / "a.fits", BUNIT="ELECTRONS/S"),)),
    "no unit": (UnitError, "no BUNIT", lambda d: (flat(d / "a.fits", BUNIT=None),)),
    "no scale of counts": (UnitError, "PHOTMJSR", lambda d: (flat(d / "a.fits", BUNIT="DN/s"),)),
    "scale of text": (InputError, "BSCALE", lambda d: (scale_of_text(d / "a.fits"),)),
    "other shape": (
        GridError,
        "50 x 71 pixels",
        lambda d: (flat(d / "a.fits"), flat(d / "b.fits", pixels((50, 71)))),
    ),
    "other grid": (
        GridError,
        r"\(\+0\.00, -1\.50\) pixels",
        lambda d: (flat(d / "a.fits"), flat(d / "b.fits", CRPIX1=36.5)),
    ),
    "turned grid": (
        GridError,
        "off the grid",
        lambda d: (
            flat(d / "a.fits"),
            flat(d / "b.fits", CD1_2=0.003 / 3600, CD2_1=0.003 / 3600),
        ),
    ),
    "other sky": (GridError, "off the grid", lambda d: (flat(d / "a.fits"), flat(d / "b.fits", CRVAL1=10.0))),
    "error of other shape": (
        GridError,
        r"a\.fits.*err.*40 x 70",
        lambda d: (i2d(d / "a.fits", err=(40, 70)),),
    ),
    "weight on another grid": (
        GridError,
        r"w\.fits.*wht",
        lambda d: ({"sci": flat(d / "a.fits"), "wht": flat(d / "w.fits", CRPIX2=25.3)},),
    ),
    "all NaN": (InputError, "no finite pixel", lambda d: (flat(d / "a.fits", np.full(SHAPE, np.nan, "f4")),)),
    "all NaN, second band, gzip": (
        InputError,
        r"b\.fits.*band B.*no finite pixel",
        lambda d: (flat(d / "a.fits"), packed(flat(d / "b.fits", np.full(SHAPE, np.inf, "f4")))),
    ),
    "err that is a science file": (
        InputError,
        "no ERR",
        lambda d: ({"sci": flat(d / "a.fits"), "err": i2d(d / "b.fits", err=None)},),
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_line_that_says_where_and_leaves_nothing(tmp_path, name):
    kind, pattern, make = BAD[name]
    bands = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(kind, match=pattern) as caught:
        probe(*bands)
    line = str(caught.value)
    assert type(caught.value) is kind
    assert caught.value.exit_code == 2
    assert "\n" not in line
    assert str(tmp_path) in line
    assert len(line) < 200 + 3 * len(str(tmp_path))
    assert sorted(tmp_path.rglob("*")) == before


def test_one_finite_pixel_anywhere_is_enough(tmp_path):
    values = np.full((600, 600), np.nan, np.float32)
    values[599, 0] = 1.0
    for path in (flat(tmp_path / "a.fits", values), packed(flat(tmp_path / "b.fits", values))):
        assert probe(path).shape == (600, 600)


def test_headers_alone_can_be_asked_for(tmp_path):
    path = flat(tmp_path / "a.fits", np.full(SHAPE, np.nan, "f4"))
    assert probe(path, pixels=False).shape == SHAPE


def test_a_mask_lies_on_the_grid_of_its_field(tmp_path):
    source = probe(flat(tmp_path / "a.fits"))
    same = probe_mask(flat(tmp_path / "same.fits", BUNIT=None), source)
    assert (same.shape, same.factor) == (SHAPE, 1.0)
    assert probe_mask(flat(tmp_path / "plain.fits", **NO_WCS), source).shape == SHAPE
    for number, (off, says) in enumerate(
        {
            (("CRPIX1", 36.5),): r"\(\+0\.00, -1\.50\) pixels",
            (("CRVAL2", -44.0),): "off the grid",
            (("CD1_1", -0.06 / 3600), ("CD2_2", 0.06 / 3600)): "off the grid",
        }.items()
    ):
        path = flat(tmp_path / f"{number}.fits", **dict(off))
        with pytest.raises(GridError, match=says) as caught:
            probe_mask(path, source)
        assert path in str(caught.value)
        assert "mask of field f" in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(GridError, match="50 x 71"):
        probe_mask(flat(tmp_path / "wide.fits", pixels((50, 71)), **NO_WCS), source)


@contextmanager
def suppress_line(path: Path):
    """Let an error pass if it is one line that names the file."""
    try:
        yield
    except InputError as error:
        if "\n" in str(error) or str(path) not in str(error):
            raise


class TestRealFiles:
    """Every real image can be read, or one line says why not."""

    def test_uds_pairs_as_two_bands(self, real_data):
        name = "uds_jwst_nircam_{}_40mas_{}.fits.gz"
        source = probe(
            *(
                {kind: str(real_data / "images" / name.format(band, kind)) for kind in ("sci", "wht")}
                for band in ("f115w", "f444w")
            )
        )
        assert (source.shape, source.scale, source.windowed) == ((820, 1000), 0.04, False)
        assert [(band.sci.factor, band.wht.factor) for band in source.bands] == [(10.0, 0.01)] * 2
        assert len(source.header.split("\n")) > 3000
        assert len(source.wcs.split("\n")) < 40

    def test_a_cal_file_is_no_mosaic(self, real_data):
        with pytest.raises(
            AstrometryError, match=r"not a resampled mosaic.*give the drizzled mosaic \(_i2d\)"
        ):
            probe(str(real_data / "images" / "ngc346_jwst_nircam_f444w_cal_100x100.fits"))

    def test_arcs_without_wcs(self, real_data):
        with pytest.raises(AstrometryError, match="no celestial WCS"):
            probe(str(real_data / "images" / "as1063_jwst_nircam_arcs_f115w_f150w_f200w.fits"))

    @pytest.mark.parametrize(
        ("name", "zero_point"),
        [
            ("xdf_hst_wfc3_f105w_60mas_sci_200x200.fits", 26.27),
            ("xdf_hst_wfc3_f160w_60mas_sci_200x200.fits", 25.95),
        ],
    )
    def test_hst_needs_a_zero_point_and_reads_with_one(self, real_data, name, zero_point):
        path = str(real_data / "images" / name)
        with pytest.raises(UnitError, match="give the band's zero_point"):
            probe(path)
        source = probe({"sci": path, "zero_point": zero_point})
        assert source.scale == pytest.approx(0.06, rel=1e-6)
        assert source.bands[0].sci.factor == pytest.approx(10 ** ((31.4 - zero_point) / 2.5), rel=1e-12)

    def test_hst_with_photflam_reads_as_it_is(self, real_data):
        """The header's keys give the zero point of the instrument's handbook, 26.27."""
        source = probe(str(real_data / "images" / "a2744_hst_wfc3_f105w_bcg_400x400.fits.gz"))
        assert source.bands[0].sci.factor == pytest.approx(10 ** ((31.4 - 26.27) / 2.5), rel=0.005)
        assert "PHOTFLAM" in source.bands[0].photometry.origin

    def test_xdf_rms_as_errors(self, real_data):
        path = str(real_data / "images" / "xdf_hst_wfc3_{}_60mas_{}_200x200.fits")
        source = probe(
            *(
                {"sci": path.format(band, "sci"), "err": path.format(band, "rms"), "zero_point": 26.0}
                for band in ("f105w", "f160w")
            )
        )
        assert source.has_err
        assert all(band.err.factor == band.sci.factor for band in source.bands)

    def test_every_image_is_read_or_refused_in_one_line(self, real_data):
        seen = 0
        for path in sorted((real_data / "images").iterdir()):
            seen += 1
            with suppress_line(path):
                probe(str(path))
        assert seen >= 11
