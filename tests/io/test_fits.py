"""Windows and row bands against `astropy.io.fits.getdata` and plain arithmetic."""

from __future__ import annotations

import gzip
import hashlib
import os
import pickle
import threading
from pathlib import Path

import fsspec
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from tilegc import config
from tilegc.errors import InputError
from tilegc.geometry import Box
from tilegc.io.fits import Plane, file_digest, read_window, row_bands
from tilegc.io.hdus import scan
from tilegc.io.probe import probe_field

SHAPE = (61, 83)


def wcs_cards(shape=SHAPE) -> dict[str, object]:
    return {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": 342.18,
        "CRVAL2": -44.53,
        "CRPIX1": shape[1] / 2,
        "CRPIX2": shape[0] / 2,
        "CDELT1": -0.03 / 3600,
        "CDELT2": 0.03 / 3600,
        "RADESYS": "ICRS",
    }


def image(seed=0, shape=SHAPE, dtype="f4") -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=shape).astype(dtype)
    values[3:6, 7:30] = np.nan
    values[10, 11], values[10, 12] = np.inf, -np.inf
    return values


def save(path: Path, values, kind="plain", cards=None, **options) -> Path:
    header = fits.Header({**wcs_cards(), "BUNIT": "10.0*nanoJansky", **(cards or {})})
    if kind == "rice":
        extension = fits.CompImageHDU(values, header, name="SCI", compression_type="RICE_1", **options)
    else:
        extension = fits.ImageHDU(values, header, name="SCI")
    hdus = fits.HDUList([fits.PrimaryHDU(), extension])
    hdus.writeto(path)
    if kind == "gzip":
        packed = path.with_name(path.name + ".gz")
        packed.write_bytes(gzip.compress(path.read_bytes(), 1))
        return packed
    return path


def plane_of(path, **band) -> Plane:
    source = probe_field(config.FieldInput(name="f", bands={"B": {"sci": str(path), **band}}), pixels=False)
    assert source.bands[0].sci is not None
    return source.bands[0].sci


def expected(path: Path, factor=10.0) -> np.ndarray:
    """The pixels as astropy reads them, in nJy: float64 arithmetic, one rounding, no infinities."""
    values = fits.getdata(path, "SCI").astype(np.float64) * factor
    values[~np.isfinite(values)] = np.nan
    return values.astype(np.float32)


def same_bits(a, b) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("kind", ["plain", "rice", "gzip"])
def test_whole_image_equals_astropy_in_every_bit(tmp_path, kind):
    path = save(tmp_path / "a.fits", image(), kind)
    plane = plane_of(path)
    assert (plane.kind, plane.shape, plane.factor) == (kind, SHAPE, 10.0)
    bands = list(row_bands(plane, 16))
    assert [y0 for y0, _ in bands] == [0, 16, 32, 48]
    whole = np.concatenate([part for _, part in bands])
    assert same_bits(whole, expected(path))
    assert np.isnan(whole[10, 11:13]).all()
    assert whole.dtype.isnative
    if kind != "gzip":
        assert same_bits(read_window(plane, plane.box), whole)


@pytest.mark.parametrize("kind", ["plain", "rice"])
def test_windows_are_cut_from_the_whole(tmp_path, kind):
    path = save(tmp_path / "a.fits", image(), kind, **({"tile_shape": (16, 20)} if kind == "rice" else {}))
    plane, whole = plane_of(path), expected(path)

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 60), st.integers(0, 82), st.integers(0, 61), st.integers(0, 83))
    def check(y0, x0, height, width):
        box = Box(y0, x0, y0 + height, x0 + width).clip(plane.box)
        assert same_bits(read_window(plane, box), np.ascontiguousarray(whole[box.slices]))

    check()


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "i8", "f4", "f8"])
def test_every_kind_of_value(tmp_path, dtype):
    values = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(dtype)
    path = save(tmp_path / "a.fits", values)
    assert same_bits(read_window(plane_of(path), Box(5, 6, 50, 60)), expected(path)[5:50, 6:60].copy())


@pytest.mark.parametrize("kind", ["plain", "gzip"])
def test_scaled_integers_with_blanks(tmp_path, kind):
    stored = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    stored[4, 5] = -32768
    path = tmp_path / "a.fits"
    hdu = fits.PrimaryHDU(stored, fits.Header({**wcs_cards(), "BUNIT": "nJy"}))
    hdu.writeto(path)
    with fits.open(path, mode="update", do_not_scale_image_data=True) as hdus:
        hdus[0].header.update({"BSCALE": 0.5, "BZERO": 100.0, "BLANK": -32768})
    if kind == "gzip":
        path = tmp_path / "a.fits.gz"
        path.write_bytes(gzip.compress((tmp_path / "a.fits").read_bytes()))
    truth = (stored * 0.5 + 100.0).astype(np.float32)
    truth[4, 5] = np.nan
    ((_, values),) = row_bands(plane_of(path), SHAPE[0])
    assert same_bits(values, truth)


def test_factor_is_applied_in_float64_and_rounded_once(tmp_path):
    values = np.linspace(-1, 1, 61 * 83, dtype=np.float32).reshape(SHAPE)
    path = save(tmp_path / "a.fits", values, cards={"BUNIT": "MJy/sr", "PIXAR_SR": 2.115e-14})
    factor = 1e15 * 2.115e-14
    got = read_window(plane_of(path), Box(0, 0, *SHAPE))
    assert same_bits(got, (values.astype(np.float64) * factor).astype(np.float32))
    assert (got != values * np.float32(factor)).any()  # the test can tell the two apart


def test_nan_of_any_kind_becomes_the_canonical_one(tmp_path):
    values = np.zeros(SHAPE, np.float32)
    values.view(np.uint32)[0, :3] = (0x7FC00001, 0xFFC00000, 0x7FA00000)  # payload, sign, signalling
    values[0, 3] = np.inf
    got = read_window(plane_of(save(tmp_path / "a.fits", values)), Box(0, 0, 1, 5))
    assert got.view(np.uint32)[0, :4].tolist() == [0x7FC00000] * 4


@pytest.mark.parametrize("kind", ["plain", "gzip"])
def test_degenerate_axes_and_primary_images(tmp_path, kind):
    values = image()
    path = tmp_path / "a.fits"
    hdu = fits.PrimaryHDU(values[None, None], fits.Header({**wcs_cards(), "BUNIT": "nJy"}))
    hdu.header.update({"CTYPE3": "FREQ", "CTYPE4": "STOKES"})
    hdu.writeto(path)
    if kind == "gzip":
        path = tmp_path / "a.fits.gz"
        path.write_bytes(gzip.compress((tmp_path / "a.fits").read_bytes()))
    plane = plane_of(path)
    assert plane.shape == SHAPE
    ((_, got),) = row_bands(plane, 100)
    values[~np.isfinite(values)] = np.nan
    assert same_bits(got, values)


def test_degenerate_axes_of_a_compressed_image(tmp_path):
    values = np.round(np.nan_to_num(image(), posinf=0, neginf=0) * 8).astype(np.int16)
    path = save(tmp_path / "a.fits", values[None], "rice", tile_shape=(1, 8, 83))
    plane = plane_of(path)
    assert (plane.shape, plane.degenerate) == (SHAPE, 1)
    assert same_bits(read_window(plane, Box(3, 4, 20, 40)), (values[3:20, 4:40] * 10.0).astype(np.float32))


def test_urls_read_as_files_do(tmp_path):
    local = {kind: save(tmp_path / f"{kind}.fits", image(), kind) for kind in ("plain", "rice", "gzip")}
    memory = fsspec.filesystem("memory")
    for kind, path in local.items():
        url = f"memory://mosaics/{path.name}"
        memory.pipe(url, path.read_bytes())
        plane = plane_of(url)
        assert plane.kind == kind
        got = np.concatenate([part for _, part in row_bands(plane, 20)])
        assert same_bits(got, expected(path))
        if kind != "gzip":
            assert same_bits(read_window(plane, Box(7, 9, 40, 50)), expected(path)[7:40, 9:50].copy())
        assert file_digest(url) == file_digest(str(path))
    with pytest.raises(InputError, match=r"memory://mosaics/none\.fits: no such file"):
        plane_of("memory://mosaics/none.fits")
    with pytest.raises(InputError, match=r"nosuch://a\.fits: nosuch:// cannot be opened here"):
        plane_of("nosuch://a.fits")


def test_planes_travel_and_threads_share_them(tmp_path):
    path = save(tmp_path / "a.fits", image())
    plane = pickle.loads(pickle.dumps(plane_of(path)))
    whole = expected(path)
    wrong: list[Box] = []

    def look(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(50):
            y0, x0 = rng.integers(0, 40, 2)
            box = Box(int(y0), int(x0), int(y0) + 20, int(x0) + 20)
            if not same_bits(read_window(plane, box), whole[box.slices].copy()):
                wrong.append(box)

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_no_file_stays_open(tmp_path):
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("no /proc here")
    planes = [plane_of(save(tmp_path / f"{kind}.fits", image(), kind)) for kind in ("plain", "rice", "gzip")]
    before = len(list(descriptors.iterdir()))
    for plane in planes:
        for _ in row_bands(plane, 7):
            break  # a reader that stops early
        if plane.kind != "gzip":
            read_window(plane, Box(0, 0, 5, 5))
    assert len(list(descriptors.iterdir())) == before


def test_boxes_outside_and_windows_of_gzip_are_programming_errors(tmp_path):
    plane = plane_of(save(tmp_path / "a.fits", image()))
    with pytest.raises(ValueError, match="not inside"):
        read_window(plane, Box(0, 0, 62, 10))
    packed = plane_of(save(tmp_path / "b.fits", image(), "gzip"))
    with pytest.raises(ValueError, match="row_bands"):
        read_window(packed, Box(0, 0, 5, 5))


@pytest.mark.parametrize("kind", ["plain", "gzip", "rice"])
def test_a_file_that_changes_under_the_reader_gets_its_line(tmp_path, kind):
    path = save(tmp_path / "a.fits", image(), kind)
    plane = plane_of(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"a\.fits") as caught:
        list(row_bands(plane, 16))
    assert "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(InputError, match=r"no such file|cannot be read"):
        list(row_bands(plane, 16))


def test_a_gzip_file_that_was_spoilt_is_found_by_its_checksum(tmp_path):
    path = tmp_path / "a.fits.gz"
    raw = save(tmp_path / "a.fits", image()).read_bytes()
    packed = bytearray(gzip.compress(raw, 0))  # stored, not packed: a changed pixel unpacks without complaint
    plane_bytes = packed.find(image().astype(">f4")[40].tobytes())
    packed[plane_bytes] ^= 1
    path.write_bytes(bytes(packed))
    with pytest.raises(InputError, match="broken or truncated gzip"):
        list(row_bands(plane_of(path), 16))


def test_headers_are_kept_to_the_letter(tmp_path):
    cards = [
        "HIERARCH ESO strange = 1.50 / odd",
        "COMMENT   spaces  kept",
        "FLOAT   =             1.500D+01 / fortran",
    ]
    path = tmp_path / "a.fits"
    hdu = fits.PrimaryHDU(image(), fits.Header({**wcs_cards(), "BUNIT": "nJy"}))
    for card in cards:
        hdu.header.append(fits.Card.fromstring(card), end=True)
    hdu.writeto(path, output_verify="ignore")
    raw = path.read_bytes()
    literal = [raw[at : at + 80].decode("latin-1").rstrip() for at in range(0, 2880 * 4, 80)]
    literal = literal[: literal.index("END")]
    source = probe_field(config.FieldInput(name="f", bands={"B": str(path)}))
    assert source.header.split("\n") == literal
    assert fits.Header.fromstring(source.header, sep="\n")["CRVAL1"] == 342.18


def test_letters_beyond_ascii_in_a_header_are_survived(tmp_path):
    path = save(tmp_path / "a.fits", image(), cards={"OBSERVER": "Muller"})
    path.write_bytes(path.read_bytes().replace(b"Muller", b"M\xfcller"))
    assert scan(str(path))[1].header["OBSERVER"].startswith("M?lle")


def test_digest_is_that_of_the_bytes(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(os.urandom(3_000_000))
    assert file_digest(str(path)) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_images_of_more_rows_than_are_converted_at_a_time(tmp_path):
    values = image(shape=(700, 300))
    path = save(tmp_path / "a.fits", values, cards=wcs_cards(values.shape))
    assert same_bits(read_window(plane_of(path), Box(0, 0, 700, 300)), expected(path))
