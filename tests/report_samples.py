"""Facts for reports, as the commands would gather them."""

from __future__ import annotations

import random
from dataclasses import replace

from pipeline.delta.plan import Figures, Plan
from pipeline.findings import Finding
from pipeline.journal_tables import Attempt
from pipeline.outcomes import RowCounts
from pipeline.reconcile.report import CrmSide, FieldReport, ReconcileReport
from pipeline.reconcile.report import Example as Difference
from pipeline.records import (
    BatchState,
    FieldClass,
    Fingerprint,
    RowClass,
    VerifyState,
)
from pipeline.report.applying import NightFacts
from pipeline.report.cells import Cells
from pipeline.report.exporting import ExportFacts, WindowFact
from pipeline.report.importing import FailedRows, ImportFacts, SourceFile
from pipeline.report.parts import Ending, Example
from pipeline.report.planning import PlanFacts, PlannedCell
from pipeline.report.sent import Sent
from pipeline.report.verifying import VerifyFacts, WrongCell

HOSTILE = (
    "</script><script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    "\" onmouseover='alert(1)' x=\"",
    "<!--",
    "]]>",
    "&lt;b&gt;",
    "\u202emoc.elpmaxe\u2066",
    "a\x00b\r\n\u2028c",
    "`code` and ` one",
    "\ud800",
)
ENDING = Ending(
    3,
    12.5,
    1_795_694_400.0,
    (
        (
            "To read a sample of the accepted rows back",
            "crm-pipeline verify 20261126-120000-ab12 --work-dir /data/.crm-pipeline",
        ),
        (
            "To send the rows of rejected.csv, once they are repaired",
            "crm-pipeline import rejected.csv -c customers.yaml",
        ),
    ),
)


def attempts(n: int, *, seed: int = 7) -> tuple[Attempt, ...]:
    """Give n batches, some of them answered with another word, one not at all."""
    chance = random.Random(seed)  # noqa: S311 - a picture
    found = []
    at = 1_795_694_000.0
    for number in range(n):
        at += chance.uniform(0.1, 0.4)
        took = chance.lognormvariate(-2.0, 0.5)
        state = BatchState.PENDING if chance.random() < 0.05 else BatchState.ACCEPTED
        is_cut_off = number == n - 1 > 0
        found.append(
            Attempt(
                at,
                None if is_cut_off else at + took,
                1000,
                None if is_cut_off else state,
            )
        )
    return tuple(found)


def import_facts(n_attempts: int = 120) -> ImportFacts:
    """Give a run with everything in it."""
    fields = {"email": 98_000, "phone": 61_000, "attributes.tier": 240, "tags": 0}
    return ImportFacts(
        run_id="20261126-120000-ab12",
        command="import",
        counts=RowCounts(
            read=100_000,
            empty=12,
            blocked=640,
            folded=3_210,
            accepted=94_800,
            rejected=338,
            pending=1_000,
            unknown=1_000,
        ),
        sources=(SourceFile("customers.csv", 100_000, 18_400_000, "3fa5" * 16),),
        cells=Cells(
            99_348, fields, {"phone": 5_120}, {"phone": 61}, {"email": 400}, {}
        ),
        failures=(
            FailedRows("EMAIL", "blocked", 400, "rows 4 (line 5), 18 and 398 more"),
            FailedRows("REFUSED", "rejected", 338, "rows 900, 901 and 336 more"),
            FailedRows("ID_CONFLICT", "blocked", 240, "rows 7, 9 and 238 more"),
        ),
        examples=(
            Example("4 (line 5)", "blocked", "EMAIL", "email", "ewa@@b.pl", "column e"),
            Example("900", "rejected", "REFUSED", "", None, "The service refused it."),
        ),
        findings=(
            Finding("tel", "phone", "E_NOTATION", 8, (5,), "column tel: 8 cells"),
            Finding("id", "customId", "NULL_WORD", 1, (6,), "a `NULL`", is_fatal=True),
            Finding("x", None, "BOM", 1, (), "a mark", is_accepted=True),
        ),
        sent=Sent(
            "Example (0ddba11e) at https://api.synerise.com",
            "customers",
            n_requests=130,
            n_retried=4,
            n_bytes=31_000_000,
            statuses={202: 124, 429: 4, 503: 1},
            n_odd=1,
            attempts=attempts(n_attempts),
        ),
        error="the service was down for 900 s.",
        versions={"crm-pipeline": "0.1.0", "polars": "2.1.0"},
        files={"outcomes.parquet": 120_000, "rejected.csv": 64_000},
    )  # fmt: skip


def clean_facts() -> ImportFacts:
    """Give a run in which nothing went wrong."""
    facts = import_facts()
    return replace(
        facts,
        counts=RowCounts(read=5, accepted=5),
        failures=(),
        examples=(),
        findings=(),
        error=None,
        sent=Sent("W", "customers", 1, 0, 400, {202: 1}, attempts=attempts(1)),
        versions=None,
        files=None,
    )


def verify_facts() -> VerifyFacts:
    """Give a verification that found something."""
    counts = {
        VerifyState.SETTLED: 294,
        VerifyState.DIFFERS: 3,
        VerifyState.ABSENT: 1,
        VerifyState.NOT_YET: 2,
        VerifyState.UNVERIFIED: 4_700,
    }
    return VerifyFacts(
        "20261126-120000-ab12", 5_000, 300, counts, 24, 0.0312, 41.0, None,
        {"firstName": 3, "phone": 1},
        (
            WrongCell("8", "differs", "firstName", '"Ewa"', '"Ewka"'),
            WrongCell("12", "absent", "", "", ""),
        ),
        6,
    )  # fmt: skip


def export_facts() -> ExportFacts:
    """Give an export in windows that is not shown to be complete."""
    return ExportFacts(
        name="profiles.incomplete.parquet",
        n_profiles=24_100,
        n_all=25_000,
        words=("Gone: the list, then its windows.",),
        reasons=("24,100 profiles of 25,000 were seen",),
        windows=(
            WindowFact("all profiles, by id", "", 25_000, 10_000, 10_000, True),
            WindowFact("recognised, by id", "3fa", None, 4_000, 1_000, False),
        ),
        n_requests=61,
        n_bytes=4_100_000,
        workspace="Example (0ddba11e)",
        filled={"clientId": 24_100, "email": 20_000},
        columns=("Profile", "email"),
        examples=(("1", "ewa@example.com"), ("2", "")),
    )


def plan() -> Plan:
    """Give a plan that a guard stops."""
    return Plan(
        plan_id="20261126-120000-ab12",
        made_at=1_795_694_000.0,
        max_age_s=86_400.0,
        workspace="0ddba11e",
        dataset="customers",
        job_file=None,
        mapping_digest="",
        rules={},
        key_id="",
        state_generation=12,
        run_generation=40,
        fingerprints=(Fingerprint("lists/customers.csv", 18_400_000, 0, "3fa5" * 16),),
        files={},
        figures=Figures(
            n_read=100_000,
            n_new=1_200,
            n_changed=3_400,
            n_unchanged=91_538,
            n_vanished=77,
            n_known=94_000,
            changed_fields={"zipCode": 3_000, "attributes.tier": 900},
            lost_fields={"phone": 61},
            given_fields={"zipCode": 90_000},
            erased_fields={"company": 12},
            withdrawn={"agreements.email": 40},
            granted={"agreements.email": 300, "agreements.sms": 2},
            n_bytes=1_310_000,
            n_requests=620,
        ),
        reasons=("the mapping has new fields (attributes.tier)",),
        trips=("12 % of the persons are new or changed: more than 0.1 (max_changed)",),
    )


def plan_facts() -> PlanFacts:
    """Give a plan with everything in it."""
    checked = import_facts()
    counts = RowCounts(
        read=100_000,
        empty=12,
        blocked=640,
        folded=3_210,
        unchanged=91_538,
        planned=4_600,
    )
    return PlanFacts(
        replace(checked, command="plan", counts=counts, sent=None, error="a guard."),
        plan(),
        "Example (0ddba11e) at https://api.synerise.com",
        (
            PlannedCell("8", "changed", "set", "zipCode", "50-668"),
            PlannedCell("9", "changed", "withdraw", "agreements.email", "false"),
            PlannedCell("12", "new", "erase", "company", ""),
        ),
        3,
    )


def night_facts() -> NightFacts:
    """Give a night with everything in it."""
    checked = import_facts()
    counts = RowCounts(
        read=100_000,
        empty=12,
        blocked=640,
        folded=3_210,
        unchanged=91_538,
        accepted=4_000,
        rejected=338,
        pending=262,
        unknown=100,
    )
    assert checked.sent is not None
    return NightFacts(
        command="sync",
        plan=plan(),
        counts=counts,
        sources=(SourceFile("customers.csv", None, 18_400_000, "3fa5" * 16),),
        sent=checked.sent,
        failures=checked.failures,
        examples=checked.examples[1:],
        n_canary=31,
        error="the service was down for 900 s.",
        versions=checked.versions,
        files=checked.files,
    )


def reconcile_report() -> ReconcileReport:
    """Give a comparison with a baseline, whose differences are too many."""
    nothing = dict.fromkeys(FieldClass, 0)
    return ReconcileReport(
        run_id="20261126-120000-ab12",
        folder="runs/20261126-120000-ab12",
        sources=("lists/customers.csv",),
        crm=CrmSide("the workspace Example", 9_918, 4, guid="0ddba11e"),
        baseline="last-week.parquet",
        n_read=10_000,
        n_blocked=10,
        n_folded=18,
        n_empty=0,
        rows={
            RowClass.MATCHED: 9_820,
            RowClass.ONLY_IN_SOURCE: 150,
            RowClass.UNKNOWN: 0,
            RowClass.SEVERAL_PROFILES: 2,
            RowClass.SEVERAL_ROWS: 0,
            RowClass.ONLY_IN_CRM: 94,
        },
        n_differing=420,
        fields=(
            FieldReport(
                "email", nothing | {FieldClass.EQUAL: 9_820}, 9_820, 9_820, 9_820
            ),
            FieldReport(
                "phone",
                nothing
                | {
                    FieldClass.EQUAL: 9_500,
                    FieldClass.SOURCE_NEWER: 200,
                    FieldClass.CRM_EDITED: 80,
                    FieldClass.BOTH_CHANGED: 10,
                    FieldClass.MISSING: 30,
                },
                9_820,
                9_820,
                9_790,
            ),
        ),
        ignored=("tags",),
        examples=(
            Difference(
                "lists/customers.csv", 8, 17, "customId=C1", "phone", "both_changed",
                '"+48 1"', '"+48 2"', '"+48 3"',
            ),
            Difference(
                None, None, 90, "customId=C9", None, "only_in_crm", None, None, None
            ),
        ),
        n_repairable=570,
        files={"differences": "runs/x/differences.csv", "repair": "runs/x/repair.csv"},
    )  # fmt: skip
