"""
What is written about the profile API, as data, each with its source.

The numbers after a fact are sections of the API contract, the one document this
simulator was built from. Nothing here is a decision of this project; decisions about
what the contract leaves open are in `pipeline.sandbox.switches`.
"""

from types import MappingProxyType
from typing import Final

# Credentials that work in every sandbox. UUID-shaped, as the real ones (2.1, 2.5).
API_KEY: Final = "5a6d0c1e-0000-4000-8000-5a4db0c5a4db"
WORKSPACE_GUID: Final = "0ddba11e-0000-4000-8000-c0ffee000001"
WORKSPACE_NAME: Final = "Sandbox"
OTHER_WORKSPACE_NAME: Final = "Another workspace"
WORKSPACE_ID: Final = 1

# Headers and version (1.3, 1.4).
API_VERSION: Final = "4.4"
API_VERSION_HEADER: Final = "Api-Version"
JSON_CONTENT_TYPE: Final = "application/json"

# Paths (2.1, 2.2, 2.7, 4.1-4.8, 6.1, 4.13).
LOGIN_PATH: Final = "/uauth/v2/auth/login/profile"
DEPRECATED_LOGIN_PATH: Final = "/v4/auth/login/profile"
REFRESH_PATH: Final = "/v4/auth/refresh/profile"
PERMISSION_CHECK_PATH: Final = "/uauth/api-key/permission-check"
CURRENT_WORKSPACE_PATH: Final = "/uauth/business-profile/current"
CLIENTS_PATH: Final = "/v4/clients"
INSTANT_PATH: Final = "/v4/clients/instant"
BATCH_PATH: Final = "/v4/clients/batch"
LIST_PATH: Final = "/crm/v1/list"
AUTOCOMPLETE_PATH: Final = "/crm/v1/autocomplete"

# The last but one part of `/v4/clients/{identifierType}/{identifierValue}` (4.6).
IDENTIFIER_TYPES: Final = MappingProxyType(
    {
        "by-email": "email",
        "by-phone": "phone",
        "by-uuid": "uuid",
        "by-customid": "customId",
    }
)
# Both spellings stand in official descriptions (4.8).
DELETE_BY_CUSTOM_ID: Final = ("by-customid", "by-custom-id")

# Limits (5.1, 6.1, 7.1).
MIN_BATCH_ITEMS: Final = 1
MAX_BATCH_ITEMS: Final = 1000
MAX_BATCH_BYTES: Final = 1_000_000  # "1 MB"; 10^6 or 2^20 is open question 3
LIST_CAP: Final = 10_000
LIST_DEFAULT_LIMIT: Final = 25
AUTOCOMPLETE_DEFAULT_LIMIT: Final = 10
BIRTH_DATE_FLOOR: Final = "1900-01-01"

# The smallest generated clientId is the one of the guide's sample (3.1).
FIRST_CLIENT_ID: Final = 2_149_203_825

# Native fields (3.1).
IDENTIFIER_FIELDS: Final = ("email", "phone", "customId", "uuid")
TEXT_FIELDS: Final = (
    "firstName",
    "lastName",
    "displayName",
    "company",
    "address",
    "city",
    "province",
    "zipCode",
    "countryCode",
    "avatarUrl",
)
SCALAR_FIELDS: Final = (*IDENTIFIER_FIELDS, *TEXT_FIELDS, "birthDate", "sex")
READ_ONLY_FIELDS: Final = ("anonymous", "lastActivityDate", "previousClients")
SEX_VALUES: Final = ("FEMALE", "MALE", "NOT_SPECIFIED", "OTHER")
DEFAULT_SEX: Final = "NOT_SPECIFIED"
SYSTEM_ATTRIBUTES: Final = ("eventCreateTime", "correlationId")

# Agreements (3.6).
AGREEMENT_KEYS: Final = (
    "email",
    "sms",
    "push",
    "webPush",
    "bluetooth",
    "rfid",
    "wifi",
)
OLD_AGREEMENT_KEYS: Final = MappingProxyType({"webpush": "webPush"})
AGREEMENT_WORDS: Final = MappingProxyType(
    {"true": True, "True": True, "false": False, "False": False}
)
UPPER_CASE_AGREEMENT_WORDS: Final = MappingProxyType({"TRUE": True, "FALSE": False})

# Characters (3.3). Text rule T stands at the end of 3.1.
IDENTIFIER_FORBIDDEN: Final = (
    "[\ud800-\udfff\U00010000-\U0010ffff\r\n\u2028\u2029\u00ad\ufe00-\ufe0f\x00]"
)
ATTRIBUTE_NAME_FORBIDDEN: Final = "[\r\n\u2028\u2029\u00ad\x00\ufe00-\ufe0f]"
VARIATION_SELECTORS: Final = "".join(chr(code) for code in range(0xFE00, 0xFE10))

# Patterns (3.3), to be used with `fullmatch`: `$` would let a line feed through.
EMAIL_PATTERN: Final = (
    r'(([^<>()[\]\\.,;:\s@"]+(\.[^<>()[\]\\.,;:\s@"]+)*)|(".+"))'
    r"@((\[\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\])|(([a-zA-Z\-0-9]+\.)+[a-zA-Z]{2,}))"
)
PHONE_PATTERN: Final = r"\+[0-9 \-()/]{6,19}|[0-9 \-()/]{6,20}"
BIRTH_DATE_PATTERN: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
UUID_PATTERN: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

# Attribute names that are ignored without an error (3.7): 63 distinct ones.
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
    geo_loc_zip club_card_id type confirmed facebookId status
    """.split()
)
# Refused by the official client only (3.7); nobody can have stored them through it.
CLIENT_RESERVED_ATTRIBUTES: Final = frozenset({"deletedAt", ""})

# Names of the crm service for the fields of v4 (3.10).
CRM_NAMES: Final = MappingProxyType(
    {
        "id": "clientId",
        "uuid": "uuid",
        "email": "email",
        "firstname": "firstName",
        "lastName": "lastName",
        "custom_identify": "customId",
        "company": "company",
        "phone": "phone",
        "address": "address",
        "city": "city",
        "zipCode": "zipCode",
        "province": "province",
        "countryCode": "countryCode",
        "avatarUrl": "avatarUrl",
        "birthdate": "birthDate",
        "sex": "sex",
    }
)
CRM_SEX: Final = MappingProxyType(
    {
        "FEMALE": "FEMALE",
        "MALE": "MALE",
        "NOT_SPECIFIED": "UNDEFINED",
        "OTHER": "UNDEFINED",
    }
)

# Listing of `GET /v4/clients` (6.2).
FILTER_FIELDS: Final = ("firstName", "lastName", "email", "phone")
SORT_FIELDS: Final = (
    "firstName",
    "lastName",
    "lastActivityDate",
    "email",
    "city",
    "phone",
)

# Permissions (2.7). The first two are documented; the others are names of this
# simulator, because no source tells them (open question 26).
CREATE_PERMISSION: Final = "API_CLIENT_CREATE"
BATCH_PERMISSION: Final = "API_BATCH_CLIENT_CREATE"
READ_PERMISSION: Final = "API_CLIENT_READ"
UPDATE_PERMISSION: Final = "API_CLIENT_UPDATE"
DELETE_PERMISSION: Final = "API_CLIENT_DELETE"
LIST_PERMISSION: Final = "API_CLIENT_LIST_READ"
PERMISSIONS: Final = (
    CREATE_PERMISSION,
    BATCH_PERMISSION,
    READ_PERMISSION,
    UPDATE_PERMISSION,
    DELETE_PERMISSION,
    LIST_PERMISSION,
)

# The text an official client looks for, in `error`, with its full stop (2.6).
EXPIRED_ERROR: Final = "Token expired."
