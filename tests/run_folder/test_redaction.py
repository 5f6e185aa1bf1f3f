"""Credentials that are removed, and text that must stay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilegc.errors import InputError
from tilegc.redaction import HIDDEN, redact, redacted

SECRET = "CANARY-4f1c9e7a"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://user:{}@host/a.fits: no such file", "https://***@host/a.fits: no such file"),
        ("ftp://{}@host/a", "ftp://***@host/a"),
        ("s3://key:se/cr@et{}@bucket/a.fits", "s3://***@bucket/a.fits"),
        ("https://h/a?X-Amz-Signature={}&x=1", "https://h/a?X-Amz-Signature=***&x=1"),
        ("https://h/a?sv=2024&sig={}&se=2026", "https://h/a?sv=2024&sig=***&se=2026"),
        ("see (https://h/a?token={}), again", "see (https://h/a?token=***), again"),
        ("AWS_SECRET_ACCESS_KEY={} x", "AWS_SECRET_ACCESS_KEY=*** x"),
        ("Authorization: Bearer {}", "Authorization: Bearer ***"),
        ("'secret_key': '{}'", "'secret_key': '***'"),
    ],
)
def test_secrets_go(text, expected):
    assert redact(text.format(SECRET)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "/data/a@2x.fits: no such file; correct its path in the run file",
        "s3://bucket/field@a/b.fits",
        "http://127.0.0.1:8787/status",
        "https://host:8080/a@b.fits?version=3",
        "https://mast.stsci.edu/api/v0.1/Download/file?uri=mast:JWST/product/jw01_nircam_f150w_i2d.fits",
        "--scheduler tcp://10.0.0.1:8786: no scheduler answers there",
        "detect.keep: a number is meant (found 'x')",
        "tokens: 3; the key 'sigma' stands twice (line 3): remove one",
    ],
)
def test_the_rest_stays(text):
    assert redact(text) == text


def test_values_of_secret_variables_go_wherever_they_stand(monkeypatch):
    monkeypatch.setenv("AWS_SESSION_TOKEN", SECRET)
    monkeypatch.setenv("SHORT_SECRET", "abc")
    assert redact(f"the server said {SECRET!r}, abc") == f"the server said {HIDDEN!r}, abc"


def test_keys_that_become_equal_stay_apart():
    found = redacted({f"https://h/a?sig={number}": [number] for number in "12"})
    assert found == {"https://h/a?sig=***": ["1"], "https://h/a?sig=***#2": ["2"]}


def test_an_error_is_redacted_where_it_is_made():
    error = InputError(f"https://u:{SECRET}@h/a.fits: cannot be opened")
    assert SECRET not in str(error)
    assert SECRET not in repr(error)


@given(st.text(), st.text(st.characters(categories=["L", "N"]), min_size=8))
def test_redacting_twice_changes_nothing_more(text, word):
    once = redact(f"{text} https://u:{word}@h/a?sig={word}&b=1 {text}")
    assert redact(once) == once
