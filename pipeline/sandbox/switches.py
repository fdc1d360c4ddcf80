"""
What the contract leaves open, as named switches with the suggested defaults.

The number before each switch is the row of section 9 of the API contract. Where that
table suggests nothing for the server, the default is the answer that hurts a careless
client most, because a client that survives it survives the others.
"""

from dataclasses import dataclass
from typing import Literal

from pipeline.sandbox import facts


@dataclass(frozen=True, slots=True)
class Switches:
    """
    One behaviour for each open question about the server.

    Attributes:
        oversize_items_status: 2. Status for a batch of more than 1000 items.
        oversize_bytes_status: 2. Status for a body above `max_body_bytes`.
        max_body_bytes: 3. 10**6 by default, or 2**20.
        gzip_bodies: 3. False answers 415 to any `Content-Encoding`.
        invalid_item: 4, 6. What one invalid item does to its batch. The default is
            silence: 202, and the item never appears, which only reading back shows.
        invalid_status: 4. Status when an invalid item refuses its batch.
        invalid_named: 4. Whether that answer, and a 207, names the items.
        detail_pointer: 5. Whether `field` holds the position, `list[3].email`, or only
            the name, so that nothing but `rejectedValue` points at the item.
        detail_shape: 5. Entries of a 207 or of `errors`: `field` is
            `{code, field, message, rejectedValue}`; `error_code` is
            `{path, timestamp, errorCode, status, message, traceId}`.
        tags_update: 7. Whether sent tags replace the stored ones or join them.
        tags_empty: 7. Whether `[]` and null empty the tags or change nothing.
        null_container: 8. Whether `attributes: null` and `agreements: null` reset
            the whole object (the rule for native fields) or change nothing.
        attribute_merge: 8. Whether an object sent as an attribute value replaces the
            stored object or is merged into it, null deleting a nested key.
        identifier_null: 9. Whether null clears an identifier, is ignored, or makes
            the item invalid. A uuid is never cleared: every profile has one (3.1).
        email_case: 10. How e-mails are compared; they are stored as sent.
        custom_id_case: 10. How customIds are compared.
        uuid_case: 10. How uuids are compared.
        uuid_shape: 10. Whether any text is a uuid or only lower-case 8-4-4-4-12 hex.
        trim_identifiers: 10. Whether customId and uuid lose outer white space (3.5).
        batch_order: 11. Array order, or a shuffle that depends on the batch number.
        merge_policy: 12. What happens when identifiers match several profiles (5.5).
        merge_target: 12. Which profile survives under `auto_merge`.
        shown_uuid: 12. Which of many uuids a read shows (3.2). `latest` is the last
            one a write brought as new; one inherited by a merge is never shown.
        phone_match: 13. Which of several profiles a sole phone finds; `none` makes
            every phone-only item a new profile.
        list_cap: 14. What `/crm/v1/list` does beyond offset + limit = the cap;
            `result`: the result of a question ends there, and `matching` with it.
        list_cap_rows: 14. The cap; a smaller one makes a small workspace crowded.
        search_works: 17. Whether `search` narrows the list; else it is ignored.
        all_is: 18. What `all` tells: the truth, half of it, its double, at most the
            cap; or both it and `matching` are halved.
        list_trouble: What else may be wrong with a page of that list: every page is the
            first, later pages are half as long, each profile stands twice, ids are
            texts, or it is a page of HTML.
        churn_per_page: Changes before each page of a list, in the mean: as many
            profiles come, go and are touched.
        autocomplete_works: Whether the autocompletion knows any value.
        sort_works: 16. Whether `sortBy` is understood; else it is a 400.
        max_list_limit: 15. Largest `limit`; above it 400.
        max_page_size: 15. Largest `pageSize` of `/v4/clients`; above it 400.
        default_page_size: 15. `pageSize` when none is sent.
        sort_separator: 16. What stands between field and order in `sortBy`.
        default_order: 16. Ascending id, or another order at each request.
        search_plain: 17. How a plain `search` compares, without regard to case.
        search_field: 17. How `field:value` compares; equality is exact.
        list_shape: 18. The documented wrapper, or a bare array.
        list_attributes: 18. Whether list items carry `attributes` as well.
        identifier_types: 20. Accepted first parts of a read by identifier.
        instant_body: 21. What the string in the answer of an instant create is.
        max_attributes: 23. Largest number of attributes in one item, or no limit.
        max_text_chars: 23. Longest text or attribute value, or no limit.
        max_tag_chars: 23. Longest tag name; the UI knows 20, the API no number.
        unknown_keys: 24. Fate of an unknown top-level key.
        attribute_values: 25. Objects and arrays kept as they are, or as JSON text.
        denied_permissions: 26. Permissions the key lacks.
        denied_status: 26. Answer when a permission is missing.
        delete_timing: 28. Whether a delete waits in the queue behind earlier writes.
        filter_match: 29. How `filters[...]` compare, without regard to case.
        anonymous_false: 29. Whether `filters[anonymous]=false` means recognised only.
        create_upserts: 30. False: a create that matches a profile changes nothing.
        non_unique_emails: The workspace mode of 5.9: customId is the main identifier,
            `email` and `agreements.email` are inert.
        strict_api_version: Whether `/v4` without a 4.x `Api-Version` is a 400 (1.3).
        strict_content_type: Whether POST, and the documented GETs, without a JSON
            `Content-Type` are a 415 (1.4).
        basic_auth: Whether the key may be used with Basic (2.5).
        bad_token_status: Answer to a missing, invalid or expired token (2.6).
        encrypted_tokens: Whether tokens are opaque, with five segments (2.4).
        upper_case_agreements: Whether "TRUE" and "FALSE" are agreement values; the
            descriptions disagree (3.6).
        birth_date_floor: Whether 1900-01-01 itself is refused (3.1).
        generated_first_name: When a create fills `firstName` from the e-mail: the
            guide's sample had nothing but an e-mail (3.1).
    """

    oversize_items_status: Literal[400, 413] = 400
    oversize_bytes_status: Literal[400, 413] = 413
    max_body_bytes: int = facts.MAX_BATCH_BYTES
    gzip_bodies: bool = False
    invalid_item: Literal["reject_batch", "partial_207", "drop_after_202"] = (
        "drop_after_202"
    )
    invalid_status: Literal[400, 422] = 400
    invalid_named: bool = True
    detail_pointer: Literal["index", "value"] = "index"
    detail_shape: Literal["field", "error_code"] = "field"
    tags_update: Literal["replace", "add"] = "replace"
    tags_empty: Literal["clear", "ignore"] = "clear"
    null_container: Literal["clear", "ignore"] = "clear"
    attribute_merge: Literal["shallow", "deep"] = "shallow"
    identifier_null: Literal["clear", "ignore", "refuse"] = "clear"
    email_case: Literal["insensitive", "exact"] = "insensitive"
    custom_id_case: Literal["insensitive", "exact"] = "exact"
    uuid_case: Literal["insensitive", "exact"] = "exact"
    uuid_shape: Literal["any", "canonical"] = "any"
    trim_identifiers: bool = True
    batch_order: Literal["array", "shuffled"] = "array"
    merge_policy: Literal["legacy_conflict", "auto_merge"] = "legacy_conflict"
    merge_target: Literal["recognised_first", "oldest", "newest"] = "recognised_first"
    shown_uuid: Literal["latest", "first"] = "latest"
    phone_match: Literal["newest", "oldest", "none"] = "newest"
    list_cap: Literal["error", "empty_page", "clamp", "result"] = "error"
    list_cap_rows: int = facts.LIST_CAP
    search_works: bool = True
    all_is: Literal["true", "halved", "doubled", "capped", "both_halved"] = "true"
    list_trouble: Literal[
        "none", "repeats", "short_pages", "twice", "text_ids", "html"
    ] = "none"
    churn_per_page: float = 0.0
    autocomplete_works: bool = True
    sort_works: bool = True
    max_list_limit: int = 1000
    max_page_size: int = 1000
    default_page_size: int = 100
    sort_separator: str = ":"
    default_order: Literal["id_ascending", "unstable"] = "id_ascending"
    search_plain: Literal["contains", "prefix", "exact"] = "contains"
    search_field: Literal["contains", "prefix", "exact"] = "exact"
    list_shape: Literal["wrapper", "bare_array"] = "wrapper"
    list_attributes: bool = False
    identifier_types: tuple[str, ...] = tuple(facts.IDENTIFIER_TYPES)
    instant_body: Literal["client_id", "uuid", "empty"] = "client_id"
    max_attributes: int | None = None
    max_text_chars: int | None = None
    max_tag_chars: int | None = None
    unknown_keys: Literal["ignore", "attribute", "error"] = "ignore"
    attribute_values: Literal["as_is", "text"] = "as_is"
    denied_permissions: frozenset[str] = frozenset()
    denied_status: Literal[401, 403] = 403
    delete_timing: Literal["queued", "immediate"] = "queued"
    filter_match: Literal["contains", "exact"] = "contains"
    anonymous_false: Literal["recognised_only", "ignored"] = "recognised_only"
    create_upserts: bool = True
    non_unique_emails: bool = False
    strict_api_version: bool = True
    strict_content_type: bool = True
    basic_auth: bool = True
    bad_token_status: Literal[401, 403] = 401
    encrypted_tokens: bool = False
    upper_case_agreements: bool = False
    birth_date_floor: Literal["exclusive", "inclusive"] = "exclusive"
    generated_first_name: Literal["email_only", "when_missing", "never"] = "email_only"
