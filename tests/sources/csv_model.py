"""
CSV as this project understands it, character by character.

Written from the rules, not from the reader: no expression, no block, no polars.
"""

from dataclasses import dataclass, field


class FileRefusedError(Exception):
    """Nobody can say where the record ends that is in trouble on this line."""

    def __init__(self, line_no: int) -> None:
        super().__init__(line_no)
        self.line_no = line_no


@dataclass
class Record:
    """What a record is: cells, or a code, or an empty line."""

    row_no: int
    line_no: int
    cells: list[str] = field(default_factory=list)
    code: str = ""
    text: str = ""


class Tokenizer:
    """Reads one text from its first character to its last."""

    def __init__(self, text: str, n_columns: int, first_line_no: int) -> None:
        self.text = text if not text or text.endswith("\n") else text + "\n"
        self.n_columns = n_columns
        self.line_no = first_line_no
        self.at = 0
        self.records: list[Record] = []
        self.doubts: list[tuple[int, int]] = []

    def run(self) -> "Tokenizer":
        while self.at < len(self.text):
            self.records.append(self.record(len(self.records) + 1))
        return self

    def at_line_end(self) -> bool:
        return self.text.startswith(("\n", "\r\n"), self.at)

    def pass_line_end(self) -> None:
        self.at = self.text.index("\n", self.at) + 1
        self.line_no += 1

    def record(self, row_no: int) -> Record:
        found = Record(row_no, self.line_no)
        start = self.at
        if self.at_line_end():
            self.pass_line_end()
            found.code = "EMPTY"
            return found
        while True:
            cell = self.cell()
            if cell is None:
                self.pass_fault(len(found.cells) + 1)
                found.code = "ROW_QUOTE"
                break
            found.cells.append(cell)
            if self.at_line_end():
                self.pass_line_end()
                break
            self.at += 1  # the delimiter
        found.text = self.text[start : self.at - 1]
        if not found.code:
            found.code = self.shape(found)
        return found

    def shape(self, found: Record) -> str:
        if found.text.removesuffix("\r") == "\x1a":
            return "ROW_TOO_SHORT"
        if len(found.cells) > self.n_columns:
            return "ROW_TOO_WIDE"
        if len(found.cells) < self.n_columns:
            return "ROW_TOO_SHORT"
        return ""

    def cell(self) -> str | None:
        """Stop before a delimiter or line end, or at a fault."""
        if self.text[self.at] == '"':
            content = self.quoted()
            return content if self.text[self.at] == "," or self.at_line_end() else None
        start = self.at
        while self.text[self.at] != "," and not self.at_line_end():
            if self.text[self.at] == '"':
                return None
            self.at += 1
        return self.text[start : self.at]

    def quoted(self) -> str:
        opened_on = self.line_no
        content = ""
        self.at += 1
        while self.at < len(self.text):
            if self.text.startswith('""', self.at):
                content += '"'
                self.at += 2
                continue
            if self.text[self.at] == '"':
                self.at += 1
                return content
            self.line_no += self.text[self.at] == "\n"
            content += self.text[self.at]
            self.at += 1
        raise FileRefusedError(opened_on)

    def pass_fault(self, n_cells: int) -> None:
        """Go behind the line, if its end is certainly the end of the record."""
        line_no = self.line_no
        end = self.text.index("\n", self.at)
        is_stray = self.text[self.at] == '"'
        if not is_stray and self.text.count('"', self.at, end) % 2:
            raise FileRefusedError(line_no)
        may_go_on = not is_stray
        while self.at < end:
            self.at += 1
            if self.text[self.at - 1] != ",":
                continue
            n_cells += 1
            if self.text[self.at] == '"':
                may_go_on |= self.passes_text_behind_a_quote(line_no)
        if may_go_on and n_cells != self.n_columns:
            raise FileRefusedError(line_no)
        self.pass_line_end()
        if may_go_on:
            self.doubts.append((self.at, line_no))

    def passes_text_behind_a_quote(self, line_no: int) -> bool:
        try:
            self.quoted()
        except FileRefusedError:
            raise FileRefusedError(line_no) from None
        if self.line_no != line_no:
            raise FileRefusedError(line_no)
        return self.text[self.at] != "," and not self.at_line_end()

    def refuted(self, at: int) -> bool:
        """Say whether quotes behind *at* tell that a cell was still open there."""
        while (at := self.text.find('"', at, self.at)) >= 0:
            behind = at
            while self.text[behind] == '"':
                behind += 1
            opens = self.text[at - 1] in ",\n"
            closes = self.text[behind] in ",\r\n"
            if opens and behind - at == 1:
                return closes
            if closes and not opens:
                return True
            if opens and (behind - at) % 2:
                return True
            at = behind
        return False

    def refusals(self) -> set[int]:
        """Return the lines that make the file unusable, one or several."""
        try:
            self.run()
            hard = set()
        except FileRefusedError as error:
            hard = {error.line_no}
        return hard | {line_no for at, line_no in self.doubts if self.refuted(at)}
