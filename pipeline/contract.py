"""
Facts about the profile API: every number, path, name and pattern, and its source.

Sources are sections of the API contract note ("API 5.1" is its section 5.1), which
marks each fact as official reference, guide, client source or inference. This module
knows nothing of files, settings or HTTP libraries. The sandbox has a list of its own,
and a test compares the two, so that one misreading cannot pass every test.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# -- hosts, versions, headers ------------------------------------------------------

DEFAULT_BASE_URL: Final = "https://api.synerise.com"  # API 1.1, Azure EU
API_VERSION: Final = "4.4"  # API 1.3
API_VERSION_HEADER: Final = "Api-Version"  # API 1.3, on every /v4 call
CONTENT_TYPE: Final = "application/json"  # API 1.4, also on GET and DELETE of /v4

# -- paths (API 2, 4 and 6) --------------------------------------------------------

LOGIN_PATH: Final = "/uauth/v2/auth/login/profile"  # API 2.1
REFRESH_PATH: Final = "/v4/auth/refresh/profile"  # API 2.2
WORKSPACE_PATH: Final = "/uauth/business-profile/current"  # API 2.7
PERMISSIONS_PATH: Final = "/uauth/api-key/permission-check"  # API 2.7
CLIENTS_PATH: Final = "/v4/clients"  # API 4.1, 4.5
BATCH_PATH: Final = "/v4/clients/batch"  # API 4.3
LIST_PATH: Final = "/crm/v1/list"  # API 6.1
AUTOCOMPLETE_PATH: Final = "/crm/v1/autocomplete"  # API 4.13, the prefix inferred
BY_EMAIL: Final = "by-email"  # API 4.6, confirmed
BY_PHONE: Final = "by-phone"  # API 4.6, inferred
BY_UUID: Final = "by-uuid"  # API 4.6, confirmed
BY_CUSTOM_ID: Final = "by-customid"  # API 4.6 to 4.8

# -- limits ------------------------------------------------------------------------

MAX_BATCH_ROWS: Final = 1000  # API 5.1
MAX_BATCH_BYTES: Final = 1_000_000  # API 5.1; "1 MB", read as the smaller of the two
DEFAULT_BATCH_BYTES: Final = 950_000  # a margin below it, API 9 question 3
LIST_CAP: Final = 10_000  # API 6.1
LIST_PAGE_ROWS: Final = 1000  # API 9 question 15: probe down from 1000
MAX_CELL_BYTES: Final = 262_144  # ours, against a runaway quote; the API names no limit
TOKEN_LIFETIME_S: Final = 3550.0  # API 2.3, when `exp` cannot be read

# -- permissions (API 2.7: the only names that any source confirms) ------------------

BATCH_PERMISSION: Final = "API_BATCH_CLIENT_CREATE"
CREATE_PERMISSION: Final = "API_CLIENT_CREATE"

# -- formats (API 3.3) -------------------------------------------------------------

# Used with a whole match: a plain "$" would let a trailing line feed through.
EMAIL_PATTERN: Final = (
    r'^(([^<>()\[\]\\.,;:\s@"]+(\.[^<>()\[\]\\.,;:\s@"]+)*)|(".+"))'
    r"@((\[[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\])"
    r"|(([a-zA-Z\-0-9]+\.)+[a-zA-Z]{2,}))$"
)
PHONE_PATTERN: Final = r"^(\+[0-9 \-()/]{6,19}|[0-9 \-()/]{6,20})$"
UUID_PATTERN: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
# Line breaks, soft hyphen, variation selectors, U+0000, anything outside the BMP.
FORBIDDEN_IN_IDENTIFIERS: Final = (
    r"[\r\n\x{2028}\x{2029}\x{00AD}\x{FE00}-\x{FE0F}\x{0000}\x{10000}-\x{10FFFF}]"
)
# The same without the non-BMP planes.
FORBIDDEN_IN_ATTRIBUTE_NAMES: Final = "\r\n\u2028\u2029\u00ad\x00" + "".join(
    map(chr, range(0xFE00, 0xFE10))
)
# API 3.1, text rule T.
FORBIDDEN_TEXT: Final = r"\x{0000}|^[\x{FE00}-\x{FE0F}]+$"
COUNTRY_PATTERN: Final = r"^[A-Za-z]{2,3}$"  # API 3.1: ISO 3166; alpha-2 in the newest
FIRST_BIRTH_DATE: Final = "1900-01-02"  # API 3.1: later than 1900-01-01
SEXES: Final = ("FEMALE", "MALE", "NOT_SPECIFIED", "OTHER")  # API 3.1
AGREEMENTS: Final = ("email", "sms", "push", "webPush", "bluetooth", "rfid", "wifi")
# API 3.6; what we understand is a subset of what the API documents, plus yes and no.
AGREEMENT_WORDS: Final = {
    "true": True,
    "1": True,
    "yes": True,
    "false": False,
    "0": False,
    "no": False,
}


class FieldKind(StrEnum):
    """How a field is read, checked and written."""

    EMAIL = "email"
    PHONE = "phone"
    CUSTOM_ID = "customId"
    UUID = "uuid"
    CLIENT_ID = "clientId"
    TEXT = "text"
    COUNTRY = "country"
    BIRTH_DATE = "birthDate"
    SEX = "sex"
    AGREEMENT = "agreement"
    ATTRIBUTE = "attribute"
    TAGS = "tags"


@dataclass(frozen=True, slots=True)
class NativeField:
    """
    A field of its own in the API, outside `attributes` (API 3.1).

    Attributes:
        aliases: Headers that mean this field, folded as `fold_header` does.
    """

    name: str
    kind: FieldKind
    aliases: tuple[str, ...] = ()


def _text(name: str, *aliases: str) -> NativeField:
    return NativeField(name, FieldKind.TEXT, aliases)


# Order matters: the first fault of a row names its code.
NATIVE_FIELDS: Final = (
    NativeField("email", FieldKind.EMAIL, ("mail", "emailaddress")),
    NativeField(
        "phone",
        FieldKind.PHONE,
        ("tel", "telephone", "phonenumber", "mobile", "mobilephone"),
    ),
    NativeField("customId", FieldKind.CUSTOM_ID, ("customidentify", "externalid")),
    NativeField("uuid", FieldKind.UUID),
    NativeField("clientId", FieldKind.CLIENT_ID),
    _text("firstName", "givenname", "forename"),
    _text("lastName", "surname", "familyname"),
    _text("displayName"),
    _text("company", "companyname", "organisation", "organization"),
    _text("address", "street", "streetaddress"),
    _text("city", "town"),
    _text("province", "state", "region"),
    _text("zipCode", "zip", "postcode", "postalcode"),
    NativeField("countryCode", FieldKind.COUNTRY, ("country",)),
    NativeField("birthDate", FieldKind.BIRTH_DATE, ("dateofbirth", "dob", "birthday")),
    NativeField("sex", FieldKind.SEX, ("gender",)),
    _text("avatarUrl", "avatar"),
    NativeField("tags", FieldKind.TAGS),
)
FIELD_BY_NAME: Final = {field.name: field for field in NATIVE_FIELDS}
IDENTIFIERS: Final = ("email", "phone", "customId", "uuid", "clientId")


def can_erase(name: str) -> bool:
    """
    Return whether null is known to erase the field with this dotted path.

    It is said of native fields and attributes (API 3.9). What it does to the tags and
    to an agreement is open (API 9, questions 7 and 8), and who loses an identifier may
    become another person (question 9).
    """
    return name not in (*IDENTIFIERS, "tags") and not name.startswith("agreements.")


# What a read returns and a write must not repeat (API 3.1, 3.10 and 8.9).
# `_generated` is a column of our own exports.
READ_ONLY_NAMES: Final = frozenset(
    {
        "_generated",
        "anonymous",
        "anonymous_type",
        "attributes.correlationId",
        "attributes.eventCreateTime",
        "clientId",
        "country_id",
        "created",
        "deletedAt",
        "lastActivityDate",
        "last_activity_date",
        "previousClients",
        "updated",
    }
)
# Columns that this tool itself adds to a file that it hands back.
TOOL_COLUMNS: Final = ("_row_no", "_state", "_code", "_message", "_source")

# API 3.7: silently ignored by the API when sent as an attribute, so refused here.
RESERVED_ATTRIBUTES: Final = frozenset(
    """
    email clientId phone customId uuid firstName lastName displayName company address
    city province zipCode countryCode birthDate sex avatarUrl anonymous agreements tags
    businessProfileId time ip source newsletter_agreement custom_identify firstname
    lastname created updated last_activity_date birthdate external_avatar_url
    displayname receive_smses receive_push_messages receive_webpush_messages
    receive_btooth_messages receive_rfid_messages receive_wifi_messages
    confirmation_hash ownerId anonymous_type country_id geo_loc_city geo_loc_country
    geo_loc_as geo_loc_country_code geo_loc_isp geo_loc_lat geo_loc_lon geo_loc_org
    geo_loc_query geo_loc_region geo_loc_region_name geo_loc_status geo_loc_timezone
    geo_loc_zip club_card_id type confirmed facebookId status deletedAt
    """.split()
)

# API 3.10: the list endpoint has names of its own.
LIST_TO_NATIVE: Final = {
    "id": "clientId",
    "firstname": "firstName",
    "custom_identify": "customId",
    "birthdate": "birthDate",
    "last_activity_date": "lastActivityDate",
}

# API 3.6: how agreements are called inside the platform; a file of its portal may too.
PORTAL_TO_NATIVE: Final = {
    **LIST_TO_NATIVE,
    "newsletter_agreement": "agreements.email",
    "receive_smses": "agreements.sms",
    "receive_push_messages": "agreements.push",
    "receive_webpush_messages": "agreements.webPush",
    "receive_btooth_messages": "agreements.bluetooth",
    "receive_rfid_messages": "agreements.rfid",
    "receive_wifi_messages": "agreements.wifi",
}
# API 3.10: the list has a word of its own for a sex that nobody told.
LIST_SEX_TO_NATIVE: Final = {"UNDEFINED": "NOT_SPECIFIED"}

# -- what can be wrong with a row ----------------------------------------------------

ROW_CODES: Final = {
    "EMPTY": "An empty line; nothing to send.",
    "ROW_TOO_WIDE": "More cells than the header has columns.",
    "ROW_TOO_SHORT": "Fewer cells than the header has columns.",
    "ROW_QUOTE": "A quote inside an unquoted cell, or text after a closing quote.",
    "ROW_JSON": "The line is not a JSON object.",
    "TOO_LARGE": "A cell above 256 KiB, or a row above the size of a request.",
    "NO_ID": "No identifier: neither e-mail, phone, customId nor uuid.",
    "EMAIL": "Not an e-mail address that the API accepts.",
    "PHONE": "Not a phone number that the API accepts.",
    "PHONE_REGION": "A national phone number, and no region is declared.",
    "CUSTOM_ID": "A customId with a character that the API forbids.",
    "E_NOTATION": "A customId in scientific notation: its last digits are lost.",
    "NULL_WORD": "A customId that is a word for nothing, such as NULL or #N/A.",
    "UUID": "Not a UUID.",
    "CLIENT_ID": "Not a clientId: a positive whole number.",
    "DATE": "Not a date in the declared format, or a birth before 1900-01-02.",
    "VALUE": "A word that neither the field nor `values` knows.",
    "TYPE": "Cannot be converted to the declared type.",
    "TEXT": "U+0000, or nothing but variation selectors.",
    "NO_ERASE": "The null token in an identifier, an agreement or the tags.",
    "BLANK": "A blank cell, and `rows.blank` is `block`.",
    "ID_CONFLICT": "Linked rows disagree about an identifier.",
    "DUPLICATE": "Several rows of one profile, and `rows.duplicates` is `block`.",
    "FOLDED": "Its values travel in the row it names.",
    "SUPERSEDED": "Another row of the same profile was chosen.",
    "REFUSED": "The service refused this row.",
    "QUARANTINED": "The service fails on this row alone; send it again later "
    "(retry: true).",
    "MODE_EXISTS": "In the CRM already, and the mode is create-only.",
    "MODE_ABSENT": "Not in the CRM, and the mode is update-only.",
    "PHONE_SHARED": "A phone-only row; its phone also stands on a row with more.",
}

# -- what a file may have gone through before, the most serious first ----------------

LINT_CODES: Final = {
    "E_NOTATION": "Long numbers in scientific notation: digits are gone.",
    "ROUNDED_15": "Long numbers with nothing but zeros after the 15th digit.",
    "LEADING_ZEROS_LOST": "Codes of one length, but none begins with a zero.",
    "FLOAT_ID": "Identifiers or codes written as numbers with a fraction.",
    "NULL_WORD": "Words that stand for nothing, such as NULL, #N/A or nan.",
    "MOJIBAKE": "Text that was read in a wrong encoding.",
    "SERIAL_DATE": "Day numbers of a spreadsheet where dates belong.",
    "DAY_MONTH": "Dates whose day and month can be, or were, taken for each other.",
    "DECIMAL_COMMA": "Numbers with a decimal comma, and none is declared.",
    "BOM": "A byte order mark inside the text.",
    "INVISIBLE": "Characters that nobody sees.",
}


def fold_header(header: str) -> str:
    """Return *header* in lower case without blank, underscore and hyphen."""
    return "".join(c for c in header.lower() if c not in " _-\u00a0\t")
