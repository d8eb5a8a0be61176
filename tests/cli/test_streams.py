"""Output goes to terminals of any encoding and into pipes that are closed; checked from outside."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import typer
from fmbseg.cli import main
from fmbseg.cli.friendly import complain
from fmbseg.progress import Progress

@main.app.command()
def say(lines: int):
    with Progress() as bars:
        for number in bars.track(range(lines), "\u30e9\u30d9\u30eb", lines):
            typer.echo(f"\u732b\u00e9{number}.jpg: " + 100 * "x")
        bars.note("\u732b noted")
    complain("\u732b cannot be read", "warning")
    raise ValueError("\u732b is wrong")

main.main()
"""


def run(lines: int, encoding: str, *, stderr: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", SCRIPT, "say", str(lines)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=environment)


@pytest.mark.parametrize(
    ("encoding", "cat"), [("cp1252", "?\xe9"), ("iso8859-7", "??"), ("utf-8", "\u732b\xe9")]
)
def test_characters_that_the_encoding_lacks_are_replaced(encoding: str, cat: str) -> None:
    process = run(2, encoding, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=60)
    names = [line.split(":")[0] for line in out.decode(encoding).splitlines()]
    assert names == [f"{cat}0.jpg", f"{cat}1.jpg"]
    said = err.decode(encoding)
    assert f"{cat[0]} noted" in said
    assert said.splitlines()[-2:] == [f"warning: {cat[0]} cannot be read", f"error: {cat[0]} is wrong"]
    assert process.returncode == 1


def test_a_reader_that_has_read_enough_ends_the_run_quietly() -> None:
    process = run(100_000, "utf-8", stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith("\u732b\xe90.jpg".encode())
    process.stdout.close()
    said = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(timeout=60) == 141
    assert "Broken pipe" not in said
    assert "Traceback" not in said
    assert "error" not in said


def test_so_does_one_who_reads_both_streams() -> None:
    process = run(100_000, "utf-8", stderr=subprocess.STDOUT)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) in (141, 1)  # 1 where a bar was being drawn: rich ends the run itself


def test_output_that_fits_the_pipe_but_is_never_read_ends_quietly_too() -> None:
    process = run(1, "utf-8", stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    said = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(timeout=60) == 141
    assert "Broken pipe" not in said
    assert "Exception ignored" not in said


@pytest.mark.skipif(os.name == "nt", reason="closes a stream as a shell does")
def test_without_standard_output_the_run_goes_on() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-c", SCRIPT, "say", "2"]
    done = subprocess.run(command, stderr=subprocess.PIPE, env=environment, timeout=60, check=False)
    assert done.stderr.decode().splitlines()[-1] == "error: \u732b is wrong"
    assert done.returncode == 1


def test_so_does_a_table() -> None:
    script = (
        "from rich.table import Table\n"
        "from fmbseg.cli.streams import any_streams, print_table\n"
        "with any_streams():\n"
        "    table = Table('word')\n"
        "    for number in range(3000):\n"
        "        table.add_row(f'{number}' * 20)\n"
        "    print_table(table)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=60) == 141
        assert process.stderr.read() == b""
