"""Words of which customers are made: many scripts, quotes, commas, line breaks."""

from __future__ import annotations

from typing import Final

FIRST_NAMES: Final = [
    *"Anna Łukasz Zofia Grzegorz Małgorzata Jürgen Chloé Søren Siobhán Николай".split(),
    *"Ελένη محمد יעל 美咲 지훈 Đặng Ana-María O'Neal Wiesław Żaneta Paweł".split(),
    'Robert "Bob"',
    "Jean Luc",
]
LAST_NAMES: Final = [
    *"Kowalska Wiśniewski Zając Dąbrowska Müller Großmann Lefèvre Ångström".split(),
    *"O'Brien Иванова Παπαδόπουλος الأحمد כהן 佐藤 김 Nguyễn Şahin Ğüneş".split(),
    "de la Cruz",
    "Smith, Jr.",
]
STREETS: Final = [
    "ul. Długa",
    "al. Jerozolimskie",
    "pl. Świętego Ducha",
    "ul. Żółkiewskiego",
    'ul. gen. "Grota" Roweckiego',
    "Hauptstraße",
    "os. Piastów",
]
CITIES: Final = [
    *"Warszawa Kraków Łódź Gdańsk Poznań Wrocław Szczecin Lublin Köln".split(),
    "Nowy Sącz",
    "Bielsko-Biała",
]
COUNTRIES: Final = "PL PL PL PL DE CZ SK UA LT".split()
MAIL_NAMES: Final = "anna.nowak jan piotr.k zofia k.zielinska m_wojcik info".split()
MAIL_HOSTS: Final = (
    "example.com example.org mail.example.net poczta.example.com firma.example.org"
).split()
MOBILE_PREFIXES: Final = "501 512 530 570 600 660 690 720 730 780 790 880".split()
TAGS: Final = "vip b2b wysyłka newsletter-2024 Łódź outlet lato zima zwrot".split()
NOTES: Final = [
    "prefers e-mail",
    "dzwonić po 17:00, nie w piątki",
    'said: "call me later"',
    "line one\nline two",
    "zwrot towaru; 🙂",
    "C:\\backup\\crm",
    "łącznie",
    "客户 VIP",
]
