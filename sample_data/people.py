"""
Invented people and the many ways a spreadsheet spells them.

Names are drawn at random from lists, e-mail domains are the reserved example.*,
German and British phones come from ranges set aside for films and books, Polish
ones from small invented blocks. Nobody here exists.
"""

import random
from dataclasses import dataclass
from typing import Final

COLUMNS: Final = (
    "customer_no", "e_mail", "tel", "first_name", "last_name", "dob", "gender",
    "company", "street", "city", "postcode", "country", "newsletter", "tier",
    "pts", "tags",
)  # fmt: skip

DOMAINS: Final = (
    "example.com", "example.org", "example.net", "mail.example.com",
    "poczta.example.org", "post.example.net",
)  # fmt: skip
TAGS: Final = ("vip", "outlet", "nowość", "b2b", "app", "🌻 lato", "newsletter-2024")
TIERS: Final = ("brąz", "srebro", "złoto")
ASCII: Final = str.maketrans("ąćęłńóśźżäöüßéèï", "acelnoszzaousee" + "i")


@dataclass(frozen=True)
class Language:
    """What one language adds to an invented person."""

    country: str
    women: tuple[str, ...]
    men: tuple[str, ...]
    last: tuple[str, ...]
    streets: tuple[str, ...]
    cities: tuple[tuple[str, str], ...]
    companies: tuple[str, ...]


POLISH: Final = Language(
    country="PL",
    women=(
        "Zofia", "Małgorzata", "Łucja", "Żaneta", "Grażyna", "Bożena", "Ewa",
        "Anna Maria", "Świętosława", "Róża",
    ),
    men=(
        "Józef", "Łukasz", "Święcisław", "Jędrzej", "Paweł", "Michał", "Żegota",
        "Bartłomiej", "Jan Maria", "Grześ",
    ),
    last=(
        "Wójcik", "Zając", "Gąska", "Źrebak", "Łoś", "Kowal-Nowak", "Święcicka-Łąk",
        "Dąb", "Grzęda", "Mróz", "Żuk", "Ćma",
    ),
    streets=("ul. Zmyślona", "al. Próbna", "os. Pod Lipą", "pl. Łąkowy"),
    cities=(
        ("Łódź", "90-001"), ("Kraków", "30-002"), ("Gdańsk", "80-003"),
        ("Warszawa", "00-950"), ("Żory", "44-240"),
    ),
    companies=(
        'Hurtownia "Pod Lipą" Sp. z o.o.', "Łąka, Las i Spółka s.c.",
        "Zakład Usług Różnych",
    ),
)  # fmt: skip
GERMAN: Final = Language(
    country="DE",
    women=("Jürgenia", "Käthe", "Anneliese", "Zoë", "Grete", "Anne-Sophie"),
    men=("Jörg", "Günther", "Karl-Heinz", "Björn", "Wolf", "Götz"),
    last=("Müller-Lüdenau", "Groß", "Schäfer", "Weiß", "von der Höh", "Büchner"),
    streets=("Erfundene Straße", "Am Übungsplatz", "Königsallee"),
    cities=(("Köln", "50667"), ("Dresden", "01067"), ("München", "80331")),
    companies=('"Schöne Töne" GmbH', "Groß, Klein & Söhne KG"),
)
ENGLISH: Final = Language(
    country="GB",
    women=("Siân", "Chloé", "Mary-Jane", "Saoirse", "Beth"),
    men=("Rhys", "Jon", "Ciarán", "Billy-Joe", "Tom"),
    last=("O'Sample", "D’Fiction", "Smythe-Test", "MacInvent", "O'Dummy-Lee"),
    streets=("Sample Lane", "St. Nobody's Road"),
    cities=(("King's Fiction", "ZZ1 1ZZ"), ("Stoke-by-Test", "ZZ9 9ZZ")),
    companies=('The "Nowhere" Trading Co., Ltd.', "Test & Sons"),
)
LANGUAGES: Final = (POLISH,) * 6 + (GERMAN,) * 2 + (ENGLISH,)


class Inventor:
    """Draws people from one seeded source; no two share an identifier."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - sample data, nothing secret
        self.n_people = 0
        self.n_phones = 0

    def person(self) -> dict[str, str]:
        """Invent one whole person, every cell given, spelled plainly."""
        rng, self.n_people = self.rng, self.n_people + 1
        language = rng.choice(LANGUAGES)
        is_woman = rng.random() < 0.5  # noqa: PLR2004 - a coin
        first = rng.choice(language.women if is_woman else language.men)
        last = rng.choice(language.last)
        city, postcode = rng.choice(language.cities)
        year, month, day = (
            rng.randint(1930, 2006),
            rng.randint(1, 12),
            rng.randint(1, 28),
        )
        return {
            "customer_no": f"{self.n_people:08d}",
            "e_mail": f"{local_part(first, last)}{self.n_people}@{rng.choice(DOMAINS)}",
            "tel": self.phone(language.country),
            "first_name": first,
            "last_name": last,
            "dob": f"{day:02d}.{month:02d}.{year}",
            "gender": "K" if is_woman else "M",
            "company": rng.choice(language.companies),
            "street": f"{rng.choice(language.streets)} {rng.randint(1, 199)}",
            "city": city,
            "postcode": postcode,
            "country": language.country,
            "newsletter": rng.choice(("tak", "nie")),
            "tier": rng.choice(TIERS),
            "pts": str(rng.randint(0, 90_000)),
            "tags": "|".join(rng.sample(TAGS, rng.randint(1, 3))),
        }

    def phone(self, country: str = "PL") -> str:
        """Take the next number of an invented block, in one of many spellings."""
        self.n_phones += 1
        n = self.n_phones
        if country == "DE":
            return f"+49 30 23125 {n % 1000:03d}"
        if country == "GB":
            return f"+44 20 7946 {n % 1000:04d}"
        if n % 9 == 0:
            return f"(22) 555 {n // 100 % 100:02d} {n % 100:02d}"
        return spell_mobile(600_100_000 + n, n)

    def dressed(self) -> dict[str, str]:
        """Invent a sendable person as a spreadsheet holds one: gaps and odd blanks."""
        rng, cells = self.rng, self.person()
        missing = rng.random()
        if missing < 0.08:  # noqa: PLR2004 - these shares are arbitrary
            cells["e_mail"] = ""
        elif missing < 0.16:  # noqa: PLR2004
            cells["customer_no"] = ""
        for name in COLUMNS[2:]:
            if rng.random() < (0.6 if name == "company" else 0.12):
                cells[name] = ""
        cells["e_mail"] = self.odd_mail(cells["e_mail"])
        return self.odd_text(cells)

    def odd_mail(self, mail: str) -> str:
        """Spell an e-mail as people do: capitals, blanks, zero-width leftovers."""
        if not mail:
            return self.rng.choice(("", "", "", "  ", "\u200b"))
        local, domain = mail.split("@")
        return self.rng.choice(
            (mail,) * 12
            + (
                mail.upper(),
                mail.title(),
                f"  {mail} ",
                f"{mail}\u00a0",
                f"\ufeff{mail}",
                f"{local}\u200b@{domain}\u200b ",
                f"{local}+promo@{domain}",
            )
        )

    def odd_text(self, cells: dict[str, str]) -> dict[str, str]:
        """Put harmless oddities into the cells that are plain text."""
        rng = self.rng
        if cells["street"] and rng.random() < 0.04:  # noqa: PLR2004
            cells["street"] += f"\nm. {rng.randint(1, 60)}, 2. klatka"
        if cells["city"] and rng.random() < 0.04:  # noqa: PLR2004
            cells["city"] = f"\u00a0{cells['city']}  "
        if cells["first_name"] and rng.random() < 0.03:  # noqa: PLR2004
            cells["first_name"] = rng.choice(
                (
                    "Zosia 🌻",
                    "Jo\u0301zef",
                    "Anna\u00a0Maria",
                    "\tEwa",
                    "A\u200dB",
                    "null",
                )
            )
        if cells["tags"] and rng.random() < 0.03:  # noqa: PLR2004
            cells["tags"] = rng.choice(("vip | b2b", "vip|", "|outlet||app", " | "))
        if cells["company"] and rng.random() < 0.03:  # noqa: PLR2004
            cells["company"] = rng.choice(("   ", "❤\ufe0f Kwiaty", "\\N", "=SUMA(A1)"))
        return cells


def local_part(first: str, last: str) -> str:
    """Write a name as the part of an e-mail before the @."""
    text = f"{first}.{last}".lower().translate(ASCII)
    return "".join(c for c in text if c.isascii() and (c.isalnum() or c == "."))


def spell_mobile(number: int, style: int) -> str:
    """Spell a Polish mobile number in one of nine usual ways."""
    text = str(number)
    a, b, c = text[:3], text[3:6], text[6:]
    return (
        f"+48 {a} {b} {c}",
        f"{a}-{b}-{c}",
        f"0048{text}",
        text,
        f"{a} {b} {c}",
        f"+48{text}",
        f"  {a}.{b}.{c}",
        f"{a}\u00a0{b}\u00a0{c}",
        f"(+48) {a}/{b}/{c}\u200b",
    )[style % 9]
