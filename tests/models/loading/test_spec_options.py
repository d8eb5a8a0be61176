import pytest

from fmbseg.models.loading.errors import SpecError
from fmbseg.models.loading.spec_options import join_options, split_options
from fmbseg.models.registries import IMAGE_TEXT, MASK_GENERATORS


@pytest.mark.parametrize(
    "value",
    ["a+b", "100%25", "a b", "x=1&y=2", "?", "#", "é/ü", "/path/to/file.pth", "0.5,0.5,0.5", "v1.0@x"],
)
def test_any_value_comes_back_as_it_was(value: str) -> None:
    spec = join_options("owner/name", {"license": value, "size": 3})
    assert split_options(spec, ["license", "size"], family="hf") == (
        "owner/name",
        {"license": value, "size": "3"},
    )


def test_paths_and_lists_stay_readable() -> None:
    assert join_options("m", {"weights": "/a/b@c.pth", "layers": (5, -1), "norm": False}) == (
        "m?layers=5,-1&norm=false&weights=/a/b@c.pth"
    )


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "names no model"),
        ("a?", "options are '\\?key=value&key=value', got ''"),
        ("a?dense", "options are '\\?key=value&key=value', got 'dense'"),
        ("a?=sclip", "options are"),
        ("a?dense=1&dense=2", "an option is given twice"),
        ("a?densee=1", "there is no option 'densee'; did you mean 'dense'"),
        ("a?token=secret", "token belongs to one machine: pass it by keyword"),
        ("a/../b", r"leads through '\.\.'"),
        ("a\0b", r"leads through '\.\.'"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_whole_spec(spec: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        split_options(spec, ["dense"], family="open_clip")


def test_all_three_kinds_of_models_read_specs_alike() -> None:
    for create in (IMAGE_TEXT.create, MASK_GENERATORS.create):
        family = "hf" if create == IMAGE_TEXT.create else "hf-sam"
        with pytest.raises(SpecError, match=r"leads through '\.\.'"):
            create(f"{family}:local-dir:/models/../etc")
        with pytest.raises(SpecError, match="there is no option 'revison'; did you mean 'revision'"):
            create(f"{family}:owner/name?revison=v2")
        with pytest.raises(SpecError, match="cache_dir belongs to one machine"):
            create(f"{family}:owner/name?cache_dir=/tmp/x")
