"""
The 5,000 records of customers.csv, each with the fate it was planted for.

A fate is written down when a row is made, from the rules of the project; no rule is
run to find it. Only the numbers of the survivors wait until the rows are shuffled.
"""

from dataclasses import dataclass, field
from typing import Final

from sample_data.people import COLUMNS, Inventor, spell_mobile

N_RECORDS: Final = 5_000
EMPTY_LINES_AFTER: Final = (0, 17, 850, 850, 2_222, 4_096, 4_990)

Cells = dict[str, str]


@dataclass
class Entry:
    """One physical record: its cells, or the line itself when it cannot be split."""

    cells: Cells = field(default_factory=dict)
    state: str = "accepted"
    code: str = ""
    group: int = 0
    line: str | None = None


def csv_line(cells: Cells, *, quote_all: bool = False) -> str:
    """Write one record by RFC 4180, without its line end."""
    out = []
    for name in COLUMNS:
        text = cells[name]
        needs_quotes = quote_all or any(c in text for c in ',"\n\r')
        out.append('"' + text.replace('"', '""') + '"' if needs_quotes else text)
    return ",".join(out)


def blank(**given: str) -> Cells:
    """Make a record with only these cells."""
    return {name: given.get(name, "") for name in COLUMNS}


BAD_CELLS: Final[dict[str, tuple[Cells, ...]]] = {
    "EMAIL": (*(
        {"e_mail": text}
        for text in (
            "anna@", "anna.example.com", "anna@@example.com", "an na@example.com",
            "anna..b@example.com", ".anna@example.com", "anna.@example.com",
            "anna@under_score.example.com", "anna@example.com.", "@example.com",
            "anna@example.com, jan@example.com", "anna@example.com;jan@example.org",
            "an\u00adna@example.com", "🌻@example.com", "<anna@example.com>",
            "mailto:anna@example.com", "anna@.example.com", "brak",
            "anna\n@example.com",
        )
    ), {"e_mail": "anna@", "dob": "31.02.1980", "tel": "12"}),
    "CUSTOM_ID": (
        {"customer_no": "K-🌻-1"}, {"customer_no": "K-\u00ad12"},
        {"customer_no": "K\n-33"}, {"customer_no": "K-\u20284"},
        {"customer_no": "K-\ufe0f5"}, {"customer_no": "K-\u2029-6"},
        {"customer_no": "𝟘𝟘𝟙𝟚"},
        {"customer_no": "K-\u00ad13", "dob": "31.02.1980", "pts": "x"},
    ),
    "DATE": (*(
        {"dob": text}
        for text in (
            "31.02.1980", "1980-02-28", "30.02.2001", "31.12.1899", "01.01.1850",
            "00.00.0000", "12/05/1980", "nieznana", "29.02.1999", "15.13.1985",
            "32.01.1970", "5 maja 1980",
        )
    ), {"dob": "31.04.1977", "gender": "X"},
        {"dob": "31.06.1977", "pts": "dużo", "country": "Polska"},
    ),
    "VALUE": (
        {"gender": "X"}, {"gender": "kobieta"}, {"gender": "?"},
        {"newsletter": "może"}, {"newsletter": "-"}, {"newsletter": "brak zgody"},
        {"country": "Polska"}, {"country": "Deutschland"}, {"country": "??"},
        {"country": "P1"}, {"gender": "??", "pts": "12.5"},
        {"newsletter": "nie wiem", "first_name": "\ufe0f"},
    ),
    "TYPE": (*(
        {"pts": text}
        for text in (
            "12,5", "12.5", "1e3", "abc", "1 200", "brak", "--5", "12 pkt", "NaN",
        )
    ), {"pts": "0x1F", "country": "Polska"}),
    "TEXT": (
        {"first_name": "\ufe0f"}, {"last_name": " \ufe0f "}, {"company": "\ufe00"},
        {"tier": "\ufe0e\ufe0f"}, {"tags": "vip|\ufe0f"}, {"city": "\ufe0f"},
    ),
}  # fmt: skip
BAD_PHONES: Final = (
    "12345", "600 100", "brak", "nie podano", "4.86E+10", "600 100 200 ext. 5",
    "+48 100 000 000", "600100200600100",
)  # fmt: skip
QUOTED_WRONG: Final = (
    'Hurtownia "Zima"', 'Monitory 27" GmbH', '"Lato" Sp. z o.o.', ' "Jesień"',
    '"Wiosna"x', '"Firma \\"Alfa\\" s.c."', '6" Pizza', '""Dwa"" Sp. j.',
)  # fmt: skip


def broken_lines(inventor: Inventor) -> list[Entry]:
    """Plant the records whose shape is wrong; they exist only in a CSV."""
    out = []

    def add(code: str, line: str) -> None:
        out.append(Entry(state="blocked", code=code, line=line))

    for i in range(8):
        plain = inventor.person() | {"company": "Acme"}
        cells = csv_line(plain).split(",")
        wide = [*cells, "x"] if i % 2 else [*cells[:7], "Las", " Łąka", *cells[8:]]
        add("ROW_TOO_WIDE", ",".join(wide) + ",," * (i == 0))
        add("ROW_TOO_SHORT", ",".join(cells[: (1, 3, 15, 15, 2, 8, 14, 10)[i]]))
        add("ROW_QUOTE", ",".join([*cells[:7], QUOTED_WRONG[i], *cells[8:]]))
    return out


def blocked(inventor: Inventor, others: list[Cells]) -> list[Entry]:
    """Plant one record for each bad cell, and the records nobody can be found by."""
    out = []
    for code, faults in BAD_CELLS.items():
        for i, fault in enumerate(faults):
            cells = inventor.person() | fault
            if code == "DATE" and i < 5:  # noqa: PLR2004 - a blocked row links nobody
                cells["e_mail"] = others[i]["e_mail"]
            out.append(Entry(cells, "blocked", code))
    for phone in BAD_PHONES:
        cells = inventor.person() | {"customer_no": "", "e_mail": "", "tel": phone}
        out.append(Entry(cells, "blocked", "PHONE"))
    nobody = [blank(), blank()]
    nobody += [
        inventor.person() | {"customer_no": number, "e_mail": mail, "tel": phone}
        for number, mail, phone in (
            ("", "", ""), ("", "", ""), ("", "  ", ""), ("  ", "", ""),
            ("", "\u200b", ""), ("", "", " "), ("\u00a0", "", ""), ("", "\ufeff ", ""),
            ("", "", "\u200b"), ("", "", ""),
        )
    ]  # fmt: skip
    return out + [Entry(cells, "blocked", "NO_ID") for cells in nobody]


def conflicts(inventor: Inventor) -> list[Entry]:
    """Plant groups that hold two values of one linking identifier."""
    rows: list[Cells] = []
    for _ in range(3):
        one, two = inventor.person(), inventor.person()
        rows += [one, two | {"e_mail": one["e_mail"].upper()}]
    for _ in range(2):
        one, two = inventor.person(), inventor.person()
        rows += [one, two | {"customer_no": f" {one['customer_no']}"}]
    one, two = inventor.person(), inventor.person()
    rows += [
        one,
        one | {"customer_no": "", "tel": ""},
        two | {"e_mail": f"{one['e_mail']} "},
    ]
    return [Entry(cells, "blocked", "ID_CONFLICT") for cells in rows]


def part_of(inventor: Inventor, whole: Cells, keep: tuple[str, ...]) -> Cells:
    """Copy a person with about half of the cells, but these always."""
    rng = inventor.rng
    return {
        name: text if name in keep or rng.random() < 0.5 else ""  # noqa: PLR2004
        for name, text in whole.items()
    }


def same_person(inventor: Inventor) -> list[list[Cells]]:
    """Invent the groups that become one profile each."""
    groups: list[list[Cells]] = []
    for _ in range(40):
        twin = inventor.dressed()
        groups.append([twin, dict(twin)])
    for i in range(60):
        whole = inventor.person()
        parts = [part_of(inventor, whole, ("e_mail",)) for _ in range(2 + i % 2)]
        parts[0]["tier"], parts[-1]["tier"] = "brąz", "złoto"
        parts[-1]["e_mail"] = inventor.odd_mail(whole["e_mail"]).replace("+promo", "")
        groups.append(parts)
    for i in range(40):
        whole = inventor.person()
        parts = [part_of(inventor, whole, ("customer_no",)) for _ in range(2 + i % 3)]
        parts[0]["customer_no"] = f"\u00a0{whole['customer_no']} "
        groups.append(parts)
    for _ in range(10):
        whole = inventor.person()
        one = part_of(inventor, whole, ("customer_no",)) | {"e_mail": ""}
        two = part_of(inventor, whole, ("customer_no", "e_mail"))
        three = part_of(inventor, whole, ("e_mail",)) | {"customer_no": ""}
        groups.append([one, two, three])
    for i in range(10):
        one, two = (phone_only(inventor) for _ in range(2))
        one["tel"], two["tel"] = (spell_mobile(500_555_000 + i, i + k) for k in (0, 4))
        groups.append([one, two])
    for whole in (inventor.person(), inventor.person()):
        mail = f"józef{whole['customer_no']}@łódź.example.org"
        puny = mail.replace("łódź", "xn--d-uga0v4h").replace("ó", "O\u0301")
        groups.append([whole | {"e_mail": mail}, whole | {"e_mail": puny, "pts": ""}])
    return groups


def phone_only(inventor: Inventor) -> Cells:
    """Invent a person known by phone alone."""
    phone = inventor.phone("PL")
    return inventor.person() | {"customer_no": "", "e_mail": "", "tel": phone}


def accepted(inventor: Inventor) -> list[Cells]:
    """Invent records that look odd, or like each other, and yet are all sent."""
    rows: list[Cells] = [phone_only(inventor) for _ in range(60)]
    for i in range(100):  # households: one phone, different people
        phone = inventor.phone("PL")
        rows += [inventor.person() | {"tel": phone} for _ in range(2 + i % 3)]
    for _ in range(10):  # known by a phone that a customer with an e-mail has, too
        owner = inventor.person()
        rows += [owner, phone_only(inventor) | {"tel": owner["tel"]}]
    for i in range(60):  # an invalid phone is dropped, never the row
        rows.append(inventor.person() | {"tel": BAD_PHONES[i % len(BAD_PHONES)]})
        rows[-1] |= {"e_mail": ""} if i % 3 == 0 else {}
    for i in range(5):  # identifiers that differ in one character are two people
        rows += [
            inventor.person() | {"customer_no": f"{z}{900 + i}"} for z in ("", "0")
        ]
        rows += [inventor.person() | {"customer_no": f"{c}-{i}"} for c in "kK"]
        for name in ("jose", "josé"):
            rows.append(inventor.person() | {"e_mail": f"{name}{i}@example.com"})
    for mail in (
        '"anna nowak"@example.com', "ANNA@MÜNCHEN.EXAMPLE.COM", "żółć@example.net",
        "ZAŻÓŁĆ@EXAMPLE.ORG", "o'sample@example.org", "a/b=c%d#e?f@example.com",
        "-@-.example.com",
    ):  # fmt: skip
        rows.append(inventor.person() | {"e_mail": mail})
    for number in ("1e5", "12345678901234567890", "3.0", "a/b#c?d%e", "K\u200b1", "-"):
        rows.append(inventor.person() | {"customer_no": number})
    return rows


def plant(inventor: Inventor) -> list[Entry]:
    """Make all physical records of customers.csv, in the order of the file."""
    sendable = accepted(inventor)
    entries = broken_lines(inventor)
    entries += blocked(inventor, sendable[60:])
    entries += conflicts(inventor)
    entries += [Entry(cells) for cells in sendable]
    for number, group in enumerate(same_person(inventor), start=1):
        entries += [Entry(cells, group=number) for cells in group]
    entries += [Entry(inventor.dressed()) for _ in range(N_RECORDS - len(entries))]
    inventor.rng.shuffle(entries)
    for index in reversed(EMPTY_LINES_AFTER):
        entries.insert(index, Entry(state="empty", code="EMPTY", line=""))
    return entries


def fates(entries: list[Entry]) -> list[tuple[int, str, str, str]]:
    """Number the records and point every folded one at the last of its group."""
    last = {entry.group: n for n, entry in enumerate(entries, start=1)}
    out = []
    for n, entry in enumerate(entries, start=1):
        if entry.group and last[entry.group] != n:
            out.append((n, "folded", "FOLDED", str(last[entry.group])))
        else:
            out.append((n, entry.state, entry.code, ""))
    return out
