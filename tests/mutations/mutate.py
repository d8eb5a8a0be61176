"""Ways in which a file is damaged: by a disk, by a transfer, by a stray program."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random


def flip_bit(content: bytearray, random: Random) -> None:
    """One bit is wrong."""
    content[random.randrange(len(content))] ^= 1 << random.randrange(8)


def set_byte(content: bytearray, random: Random) -> None:
    """One byte is wrong."""
    content[random.randrange(len(content))] = random.randrange(256)


def change_digit(content: bytearray, random: Random) -> None:
    """One digit is another: what is still well formed."""
    digits = [index for index, byte in enumerate(content) if chr(byte).isdigit() and byte < 128]
    if digits:
        content[random.choice(digits)] = random.choice(b"0123456789")


def cut_off(content: bytearray, random: Random) -> None:
    """The end is missing."""
    del content[random.randrange(len(content)) :]


def zero_block(content: bytearray, random: Random) -> None:
    """A block was never written."""
    start, length = _block(content, random)
    content[start : start + length] = bytes(length)


def double_block(content: bytearray, random: Random) -> None:
    """A block was written twice."""
    start, length = _block(content, random)
    content[start:start] = content[start : start + length]


def lose_block(content: bytearray, random: Random) -> None:
    """A block is missing."""
    start, length = _block(content, random)
    del content[start : start + length]


def swap_blocks(content: bytearray, random: Random) -> None:
    """Two blocks changed places."""
    one, length = _block(content, random)
    other = random.randrange(len(content) - length + 1)
    first, second = bytes(content[one : one + length]), bytes(content[other : other + length])
    content[one : one + length] = second
    content[other : other + length] = first


def lose_line(content: bytearray, random: Random) -> None:
    """A line is missing."""
    lines = bytes(content).splitlines(keepends=True)
    del lines[random.randrange(len(lines))]
    content[:] = b"".join(lines)


def double_line(content: bytearray, random: Random) -> None:
    """A line stands twice."""
    lines = bytes(content).splitlines(keepends=True)
    index = random.randrange(len(lines))
    content[:] = b"".join([*lines[: index + 1], *lines[index:]])


def add_rubbish(content: bytearray, random: Random) -> None:
    """Something stands behind the end."""
    content += random.randbytes(random.randrange(1, 64))


def _block(content: bytearray, random: Random) -> tuple[int, int]:
    length = random.randrange(1, min(512, len(content)) + 1)
    return random.randrange(len(content) - length + 1), length


DAMAGES = (
    flip_bit,
    set_byte,
    change_digit,
    cut_off,
    zero_block,
    double_block,
    lose_block,
    swap_blocks,
    lose_line,
    double_line,
    add_rubbish,
)


def damaged(content: bytes, random: Random) -> tuple[bytes, str]:
    """A copy that differs, and how; bits are flipped as often as all else together."""
    while True:
        damage = flip_bit if random.random() < 0.5 else random.choice(DAMAGES)
        copy = bytearray(content)
        damage(copy, random)
        if copy != content:
            return bytes(copy), damage.__name__
