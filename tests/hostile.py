"""Names that would be markup, and what a page must show of them."""

NAMES = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a | b",
    "back`tick``s",
    "line\nfeed",
    "[dog](javascript:alert(1))",
    "](javascript:alert(1))",
    "\x1b[31mred\x1b[0m",
    "jpg.\u202egpj",
    "key: value # --- {{ 7 * 7 }} {% raw %}",
    "\"quotes\" & 'apostrophes'",
)
