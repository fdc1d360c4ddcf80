"""
The mutants that were thought of, each beside the tests that have to find it.

A text to be replaced is as short as it can be while it stands once in its module, so
that other work on the module seldom touches it.
"""

from collections.abc import Iterator
from typing import Final

from torture.planting import Mutant

TWELVE: Final = (
    Mutant(
        "mark before 202",
        "journal_tables.py",
        "coalesce(v.state, 'unknown') = 'accepted'",
        "coalesce(v.state, 'accepted') = 'accepted'",
        ("test_journal.py",),
    ),
    Mutant(
        "high-water mark",
        "rebatch.py",
        "        if not place.is_planned:\n",
        "        if not place.is_planned and place.n < len(\n"
        "            plan.lanes.get(place.lane, ())\n"
        "        ):\n"
        "            continue\n"
        "        if not place.is_planned:\n",
        ("test_rebatch.py",),
    ),
    Mutant(
        "null for missing",
        "encoder.py",
        "return member.alias(name)",
        'return member.fill_null(pl.lit(prefix + "null")).alias(name)',
        ("test_encoder.py",),
    ),
    Mutant(
        "skip fsync",
        "files.py",
        "os.fsync(handle)",
        "pass",
        ("test_files.py",),
    ),
    Mutant(
        "retry CancelledError",
        "retrying.py",
        "    first = [await attempt()]\n",
        "    try:\n"
        "        first = [await attempt()]\n"
        "    except asyncio.CancelledError:\n"
        "        first = [await attempt()]\n",
        ("test_retrying.py",),
    ),
    Mutant(
        "follow redirect",
        "client.py",
        "follow_redirects=False",
        "follow_redirects=True",
        ("test_client.py",),
    ),
    Mutant(
        "drop last partial batch",
        "chunker.py",
        "    if tail is not None:\n        yield from cut(tail, is_last=True)[0]",
        "    if tail is not None:\n        yield from cut(tail, is_last=False)[0]",
        ("test_chunker.py",),
    ),
    Mutant(
        "per-worker Retry-After",
        "turnstile.py",
        "self._pacer.shut(now_s, verdict.retry_after_s)",
        "pass",
        ("test_delivery_bad_days.py",),
    ),
    Mutant(
        "local clock for HTTP-date",
        "retry_after.py",
        'http_date(reply.headers.get("date", ""))',
        "datetime.now(UTC)",
        ("test_verdict.py",),
    ),
    Mutant(
        "swallow 403",
        "sender.py",
        "            self._fail(error)\n            verdict = replace(",
        "            verdict = replace(",
        ("test_delivery.py",),
    ),
    Mutant(
        "count on display",
        "sender.py",
        "        await self._journal.record(",
        "        self._tally.rows[verdict.state] += case.batch.n_rows\n"
        "        await self._journal.record(",
        ("test_delivery_bad_days.py",),
        (
            "        self._tally.note(verdict)\n",
            (
                "        self._tally.note(verdict)\n"
                "        self._tally.rows[verdict.state] -= case.batch.n_rows\n"
            ),
        ),
    ),
    Mutant(
        "unquoted id",
        "addresses.py",
        "quote(value, '')",
        "quote(value)",
        ("test_addresses.py",),
    ),
)


def _of(
    module: str, tests: tuple[str, ...], *defects: tuple[str, str, str]
) -> Iterator[Mutant]:
    """Give the mutants of one module: name, old, new."""
    for name, old, new in defects:
        yield Mutant(name, module, old, new, tests)


OTHERS: Final = (
    # -- the journal -------------------------------------------------------------------
    *_of(
        "journal_tables.py",
        ("test_journal.py",),
        (
            "a later unknown attempt takes an acceptance back",
            "    if accepted:\n",
            "    if accepted and not unknown:\n",
        ),
        (
            "the order of runs follows the clock",
            "AND n.generation > o.generation ",
            "AND n.began_at > o.began_at ",
        ),
        (
            "a run without a workspace bars none",
            "n.workspace IS o.workspace",
            "n.workspace = o.workspace",
        ),
        (
            "ranges reach over the end of a file",
            "(last.source_no, last.last_row_no + 1) == (source_no, row_no)",
            "last.last_row_no + 1 == row_no",
        ),
        (
            "answered attempts are taken for crashes",
            "sum(v.state IS NULL)",
            "sum(v.state IS NOT NULL)",
        ),
        (
            "of rows that were refused, those of one attempt are kept",
            "group_concat(v.rejected, char(10))",
            "max(v.rejected)",
        ),
    ),
    *_of(
        "journal_file.py",
        ("test_journal_file.py", "test_journal.py"),
        ("a damaged journal is opened", 'if found != "ok":', "if not found:"),
        (
            "the reserve is promised, not written",
            "file.write(bytes(RESERVE_BYTES))",
            "file.truncate(RESERVE_BYTES)",
        ),
        (
            "the reserve is kept when the disk is full",
            "self._path.unlink()",
            "self._path.exists()",
        ),
        (
            "the journal of a newer version is opened",
            "if version > SCHEMA_VERSION:",
            "if version > SCHEMA_VERSION + 1:",
        ),
        (
            "the journal is readable by all",
            "os.O_CREAT | os.O_NOFOLLOW, 0o600",
            "os.O_CREAT | os.O_NOFOLLOW, 0o644",
        ),
        (
            "an error of the disk passes for a full one",
            "if code == sqlite3.SQLITE_IOERR:",
            "if code == sqlite3.SQLITE_AUTH:",
        ),
    ),
    *_of(
        "journal_writer.py",
        ("test_journal.py",),
        (
            "skip fsync of the journal",
            '"FULL" if group[0].flushed else "NORMAL"',
            '"NORMAL"',
        ),
        (
            "an intent is not flushed before bytes leave",
            "        flushed: bool = True,\n",
            "        flushed: bool = False,\n",
        ),
        (
            "a place is given away before its verdict is written",
            "for flushed in (False, True):",
            "for flushed in (True, False):",
        ),
        (
            "nobody waits for the disk",
            "        await waiter",
            "        waiter.cancelled()",
        ),
        (
            "a bad record takes its group with it",
            "                    self._commit([operation])",
            "                    operation.error = error",
        ),
        (
            "a full disk admits new batches",
            "elif operation.admits:",
            "elif operation.admits and not self._is_full:",
        ),
        (
            "work goes on after an error of the disk",
            "self._broken = error",
            "group[0].error = error",
        ),
        (
            "a failed group is not rolled back",
            'self._connection.execute("ROLLBACK")',
            'self._connection.execute("COMMIT")',
        ),
    ),
    *_of(
        "journal.py",
        ("test_journal.py",),
        (
            "an older run goes on",
            "check_newest(run_id, newer[0] if newer else None)",
            "check_newest(run_id, None)",
        ),
        (
            "numbers of parts meet those of batches",
            "return max(FIRST_CHILD_NO, highest + 1)",
            "return int(highest) + 1",
        ),
        (
            "a removed run that can be resumed loses its batches",
            "if run_id not in keep_batches:",
            "if run_id in run_ids:",
        ),
    ),
    # -- going on ----------------------------------------------------------------------
    *_of(
        "resuming.py",
        ("test_resuming.py",),
        (
            "other rows are taken for the same",
            "    if not has_same_content(run.fingerprints, fingerprints):",
            "    if not run.fingerprints:",
        ),
        (
            "another job is taken for the same",
            "            and run.settings_digest == settings_digest\n",
            "",
        ),
        (
            "a batch is suspected a crash too late",
            "batch.n_crashes >= CRASHES_OF_A_SUSPECT",
            "batch.n_crashes > CRASHES_OF_A_SUSPECT",
        ),
        (
            "rows that a planned batch named are sent again",
            "        if batch.rejected:\n",
            "        if batch.rejected and batch is not root:\n",
        ),
        (
            "a new plan keeps the old bodies",
            "if n_undone == batch.n_rows and not replan:",
            "if n_undone == batch.n_rows:",
        ),
        (
            "the number of a part is given twice",
            "*(batch.batch_no + 1 for batch in known)",
            "*(batch.batch_no for batch in known)",
        ),
        (
            "batches that share a row are believed",
            "if before.last >= after.first:",
            "if before.last > after.first:",
        ),
        (
            "batches are counted, not numbered",
            "next_no=max(planned, default=0) + 1",
            "next_no=len(planned) + 1",
        ),
        (
            "a finished run is found unfinished",
            "if run.state is not RunState.DONE]",
            "if run.state is not RunState.PENDING]",
        ),
    ),
    *_of(
        "rebatch.py",
        ("test_rebatch.py",),
        (
            "a body that came out different is sent",
            "!= (stretch.n_rows, stretch.digest)",
            "!= (stretch.n_rows, planned.digest)",
        ),
        (
            "a part that came out different is sent",
            "if part.digest not in (None, batch.digest):",
            "if part.digest == batch.body:",
        ),
        (
            "proven rows of a split batch are sent again",
            "others = stretch.proven.union(",
            "others = frozenset[int]().union(",
        ),
        (
            "a recorded batch is cut by another limit",
            "max_rows=encoded.frame.height",
            "max_rows=2",
        ),
        (
            "the last row of a recorded batch is taken for a new one",
            'search_sorted(_series(lasts[low:high]), side="right")',
            'search_sorted(_series(lasts[low:high]), side="left")',
        ),
        (
            "a part forgets what it is part of",
            "yield replace(batch, parent_no=part.parent_no)",
            "yield batch",
        ),
        (
            "a recorded batch that is not there is passed over",
            "if n < place.n and not plan.is_replanned:",
            "if n < place.n and plan.is_replanned:",
        ),
    ),
    *_of(
        "continuing.py",
        ("flows/test_import_resume.py",),
        ("a fresh run goes on", "if continuation.is_fresh:", "if not runs:"),
        (
            "a named run goes on with another job",
            "settings_digest=run.settings_digest, fingerprints",
            "settings_digest=known.settings_digest, fingerprints",
        ),
        ("a run does not keep its job", "        remember()\n", ""),
        (
            "a new plan is recorded under the old versions",
            "versions = run.versions if plan.is_replanned else None",
            "versions = None",
        ),
        (
            "the options of a field make no other job",
            'rule.options.model_dump(mode="json")',
            "None",
        ),
        (
            "a finished run is sent again",
            "if known.state is RunState.DONE:",
            "if known.state is None:",
        ),
    ),
    *_of(
        "outgoing.py",
        ("test_outgoing.py",),
        (
            "the rows of a group go out alone, too",
            'pl.concat([exceptions, groups.select("row")])["row"]',
            'exceptions["row"]',
        ),
        (
            "rows that are missing in pass 2 are not missed",
            "if n_clean != self.check.n_clean:",
            "if n_clean > self.check.n_clean:",
        ),
        (
            "a profile that grew too large is lost",
            "        self.late.append(",
            "        list[pl.DataFrame]().append(",
        ),
        (
            "a profile that grew too large is sent",
            "folded.frame.filter(~is_large))",
            "folded.frame)",
        ),
    ),
    # -- trying again ------------------------------------------------------------------
    *_of(
        "retrying.py",
        ("test_retrying.py",),
        (
            "a refusal is repeated",
            "return verdict.step is Step.AGAIN",
            "return verdict.step is not Step.DONE",
        ),
        ("Retry-After is ignored", "asked_s=verdict.retry_after_s", "asked_s=None"),
        ("no jitter", "chance=self._chance()", "chance=1.0"),
    ),
    *_of(
        "distributed/hub.py",
        ("test_distributed_hub.py",),
        (
            "a worker that was given up goes on",
            "if self.n_stops or turn != self._turns.get(turn.number):",
            "if self.n_stops:",
        ),
    ),
    *_of(
        "distributed/pace.py",
        ("test_distributed_pace.py",),
        (
            "a worker waits for Retry-After alone",
            "if shut_s > 0:",
            "if shut_s > 3600:",
        ),
        (
            "a place is good for ever",
            "self._places[0][1] <= now_s",
            "self._places[0][1] <= 0",
        ),
    ),
    *_of(
        "pacing.py",
        ("test_pacing.py",),
        (
            "a later and shorter wait opens the gate",
            "max(self._shut_until_s, now_s + seconds)",
            "now_s + seconds",
        ),
        (
            "the jitter undercuts Retry-After",
            "return max(jitter_s, asked_s * (1.0 + SPREAD * chance))",
            "return min(jitter_s, asked_s * (1.0 + SPREAD * chance))",
        ),
        (
            "one request too many in flight",
            "return max(0, self.limit - self.in_flight)",
            "return max(0, self.limit - self.in_flight + 1)",
        ),
        (
            "many probes at once",
            "return 0 if self.breaker.is_probing else 1",
            "return 1",
        ),
        (
            "repetitions cost nothing",
            "not self.budget.take(cost)",
            "not self.budget.take(0)",
        ),
        (
            "one attempt too many",
            "n >= self.attempts or",
            "n > self.attempts or",
        ),
        (
            "a shut gate uses up patience",
            "return self._shut_before_s + (",
            "return 0.0 * self._shut_before_s + (",
        ),
        (
            "an attempt may take as long as it likes",
            "return min(LONGEST_ATTEMPT_S,",
            "return max(LONGEST_ATTEMPT_S,",
        ),
        (
            "a suspect body counts against the service",
            "elif not ticket.is_suspect or ticket.is_probe:",
            "elif not ticket.is_suspect or not ticket.is_probe:",
        ),
        (
            "overload does not slow down",
            "self.limit = max(1, int(CUT * self.limit))",
            "self.limit = max(1, self.limit)",
        ),
        (
            "a single bad answer in few counts as overload",
            "window.n_requests >= FAILED_SAMPLES",
            "window.n_requests >= 1",
        ),
    ),
    *_of(
        "breaker.py",
        ("test_breaker.py",),
        (
            "what was sent before closes the breaker",
            "if not (self.is_open and is_probe):",
            "if not self.is_open:",
        ),
        (
            "what repetitions cost does not come back",
            "(spent or FIRST_TRY_REWARD)",
            "FIRST_TRY_REWARD",
        ),
        (
            "an outage begins anew with every opening",
            "min(self.down_since_s, now_s)",
            "now_s",
        ),
    ),
    *_of(
        "rates.py",
        ("test_rates.py",),
        (
            "each refusal of a second cuts again",
            "now_s - self._cut_s < CUT_SPACING_S",
            "now_s - self._cut_s < 0.0",
        ),
        (
            "a pause gives credit",
            "max(now_s, self._slot_s) + 1.0 / rate",
            "self._slot_s + 1.0 / rate",
        ),
    ),
    *_of(
        "sender.py",
        ("test_delivery_bad_days.py",),
        (
            "no answer is taken for a 202",
            "verdict = of_fault(error)",
            "verdict = Verdict(Step.DONE, BatchState.ACCEPTED, error.code)",
        ),
        (
            "a row is condemned without a control",
            "and self.n_blamed >= SUSPECT_FAILURES - 1",
            "and self.n_blamed >= 0",
        ),
        (
            "a row is condemned by a connection that breaks",
            "and self.last.status in SERVER_ERRORS",
            "and self.last.step is Step.AGAIN",
        ),
        (
            "connections that break are held against a row",
            "self.is_proven and verdict.status in SERVER_ERRORS",
            "self.is_proven",
        ),
        (
            "attempts of before the crash are forgotten",
            "case.n_before + case.tries.n + 1",
            "case.tries.n + 1",
        ),
    ),
    *_of(
        "sender.py",
        ("test_delivery.py",),
        (
            "a service that names wrong rows is believed for ever",
            "    if not case.is_trusted:\n",
            "    if case.batch is None:\n",
        ),
    ),
    *_of(
        "turnstile.py",
        ("test_delivery_bad_days.py",),
        (
            "bytes leave after somebody asked to stop",
            "while not self.stopped.is_set():",
            "while True:",
        ),
        (
            "a wait goes on after somebody asked to stop",
            "return_when=asyncio.FIRST_COMPLETED",
            "return_when=asyncio.ALL_COMPLETED",
        ),
    ),
    # -- cutting and naming ------------------------------------------------------------
    *_of(
        "splitting.py",
        ("test_splitting.py",),
        (
            "the odd row of a half is lost",
            "everyone[middle:]",
            "everyone[middle : 2 * middle]",
        ),
        (
            "named rows are sent again",
            "set(range(batch.n_rows)) - set(named)",
            "set(range(batch.n_rows))",
        ),
        (
            "a cut body is written anew",
            "found.append(text[at:end].encode())",
            "found.append(json.dumps(json.loads(text[at:end])).encode())",
        ),
        (
            "the search is not bounded for the run",
            " and self.n_extra < MAX_EXTRA_A_RUN",
            "",
        ),
        (
            "one refusal for size lowers the target many times",
            "if refused_bytes <= self.n_bytes:",
            "if refused_bytes:",
        ),
        (
            "a part of a part forgets the part",
            "parent_no=batch.batch_no",
            "parent_no=batch.parent_no",
        ),
        (
            "half of the rows refused looks systematic",
            "if self.n_bad <= SYSTEMATIC_SHARE * n_decided:",
            "if self.n_bad < SYSTEMATIC_SHARE * n_decided:",
        ),
    ),
    *_of(
        "naming.py",
        ("test_naming.py",),
        (
            "rows are counted from 1",
            "index = int(match[2])",
            "index = int(match[2]) - 1",
        ),
        (
            "a name that contradicts its value is believed",
            "contradicted = bool(holders) and index not in holders",
            "contradicted = False",
        ),
        (
            "of several rows with a value the first is blamed",
            "if len(holders) == 1 else None",
            "if holders else None",
        ),
        (
            "an entry of a list inside a row names a row",
            "if match is not None and match[1] in _LIST_FIELDS:",
            "if match is not None and not match[2]:",
        ),
        (
            "a row behind the last is named",
            "index >= n_rows",
            "index > n_rows",
        ),
    ),
    # -- outcomes ----------------------------------------------------------------------
    *_of(
        "outcomes.py",
        ("test_outcomes.py",),
        (
            "too many states pass for the equation",
            "if sum(parts.values()) != self.read:",
            "if sum(parts.values()) < self.read:",
        ),
        (
            "unknown is called accepted",
            "BatchState.UNKNOWN: State.PENDING",
            "BatchState.UNKNOWN: State.ACCEPTED",
        ),
        (
            "rows that were never sent are called accepted",
            ".otherwise(pl.lit(State.PENDING.value))",
            ".otherwise(pl.lit(State.ACCEPTED.value))",
        ),
        (
            "the first word about a row counts",
            "last_word |= dict.fromkeys(_members(batch.members), word)",
            "last_word = dict.fromkeys(_members(batch.members), word) | last_word",
        ),
        (
            "the last row of a batch is not of it",
            '(pl.col("row") <= pl.col("last"))',
            '(pl.col("row") < pl.col("last"))',
        ),
        (
            "folded rows are looked up in the main lane",
            "pl.lit(FOLDED_LANE",
            "pl.lit(MAIN_LANE",
        ),
    ),
    # -- pass 1 ------------------------------------------------------------------------
    *_of(
        "folding.py",
        ("test_folding.py",),
        ("the first value wins", "folded |= members", "folded = members | folded"),
        (
            "an attribute takes the others with it",
            "inner.setdefault(key, {}).update(members_of(members[key]))",
            "inner[key] = members_of(members[key])",
        ),
        ("rows are folded as they come", 'held.sort("row")', "held"),
    ),
    *_of(
        "identity.py",
        ("test_identity.py",),
        (
            "two people become one",
            "ordered.filter(ordered == ordered.shift(1))\n    return rows",
            "ordered.filter(ordered == ordered.shift(2))\n    return rows",
        ),
        (
            "a shared phone links",
            '_meeting(entries.filter(pl.col("kind") <= PHONE_ALONE))',
            '_meeting(entries.filter(pl.col("kind") <= PHONE_BESIDE))',
        ),
        (
            "equal text of two identifiers links",
            '_digest(f"{key}{name}:"',
            '_digest(f"{key}:"',
        ),
        (
            "the wrong row survives",
            "keeps_first else pl.col",
            "not keeps_first else pl.col",
        ),
        (
            "a chain of rows is not followed",
            "if jumped.equals(labels):",
            "if labels.equals(labels):",
        ),
    ),
    *_of(
        "chunker.py",
        ("test_chunker.py",),
        (
            "a body is one byte too long",
            "min(target_bytes, limits.max_bytes) - 1)",
            "min(target_bytes, limits.max_bytes))",
        ),
        (
            "a body has one row too many",
            "min(first + limits.max_rows,",
            "min(first + limits.max_rows + 1,",
        ),
        (
            "a batch spans lanes",
            "if tail is not None and tail.lane != part.lane:",
            "if tail is not None and tail.lane == -1:",
        ),
        (
            "a row that is too long passes",
            "+ 1 > limits.max_bytes:",
            "> limits.max_bytes:",
        ),
        (
            "a digest is not of the body",
            "hashlib.sha256(body)",
            "hashlib.sha256(body[1:])",
        ),
    ),
    *_of(
        "checker.py",
        ("test_checker.py",),
        (
            "a row that is too long vanishes",
            "        clean = clean.join(too_large,",
            "        clean.join(too_large,",
        ),
        (
            "a row that is too long is not told",
            "    if examined.too_large.height:\n",
            "    if examined.too_large.width == 0:\n",
        ),
        (
            "empty lines are not counted",
            "    if len(piece.empty):\n",
            "    if piece.n_rows == 0:\n",
        ),
        (
            "records that cannot be read are not counted",
            "    if piece.unreadable.height:\n",
            "    if piece.n_rows == 0:\n",
        ),
        (
            "a row with two faults counts twice",
            '            ["source_no", "row_no"], keep="first"',
            '            ["source_no", "row_no", "field"], keep="first"',
        ),
    ),
    Mutant(
        "an edit in the CRM called one of both sides",
        "reconcile/compare.py",
        '.when(pl.col("has_baseline") & ~source_kept & ~crm_kept)',
        '.when(pl.col("has_baseline") & ~crm_kept)',
        ("test_reconcile_compare.py",),
    ),
    Mutant(
        "a profile of two rows given to one of them",
        "reconcile/matching.py",
        "met.filter(~met.is_in(torn.implode())))",
        "met.clear())",
        ("test_reconcile_matching.py",),
    ),
    Mutant(
        "a row not found in a part called missing",
        "reconcile/bucket.py",
        "RowClass.ONLY_IN_SOURCE if rules.is_complete else RowClass.UNKNOWN",
        "RowClass.ONLY_IN_SOURCE",
        ("test_reconcile_bucket.py",),
    ),
)
