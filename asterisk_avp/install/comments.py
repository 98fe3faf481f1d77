"""The comments of Asterisk's configuration files (main/config.c, config_text_file_load)."""

from __future__ import annotations

BLANK = "".join(map(chr, range(33)))
"""The characters that Asterisk strips, control characters included."""


class Comments:
    """Removes comments from lines; blocks from ``;--`` to ``--;`` may span several lines."""

    def __init__(self) -> None:
        self._depth = 0

    def without(self, line: str) -> str:
        kept: list[str] = []
        start = None if self._depth else 0
        at = 0
        while (found := line.find(";", at)) >= 0:
            if found > at and line[found - 1] == "\\":
                line = line[: found - 1] + line[found:]
                at = found
            elif line.startswith("--", found + 1) and not line.startswith("-", found + 3):
                if start is not None:
                    kept.append(line[start:found])
                start = None
                self._depth += 1
                at = found + 3
            elif found >= at + 2 and line[found - 2 : found] == "--":
                # Below 0 if no block has begun; Asterisk then treats the rest of the file as one.
                self._depth -= 1
                at = found + 1
                if self._depth == 0:
                    start = at
            elif self._depth:
                at = found + 1
            else:
                line = line[:found]
        if start is not None:
            kept.append(line[start:])
        return "".join(kept).strip(BLANK)
