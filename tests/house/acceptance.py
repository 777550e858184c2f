"""Draw docs/acceptance.md: what the project set out to do, with the tests that prove each part.

Tests that are called after a criterion (`test_b1_...`) are found by themselves; others are named
here. `make acceptance` writes the page, and a test compares it.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "acceptance.md"
CALLED = re.compile(r"^(?:async )?def (test_([a-i][0-9])_\w+)\(", re.MULTILINE)
INTRO = """\
# Acceptance

What the project set out to do, in its own words, and the tests that prove each part.
A part without a test is not there yet, and says so.
`make acceptance` draws this page; a test checks that every test named here exists.
[Guarantees](guarantees.md) has what is promised under faults, with storms and campaigns.

"""
NOT_YET = "*not there yet*"


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing to prove.

    Attributes:
        name: such as ``B1``.
        wanted: what has to hold.
        proofs: tests that are not called after it.
        missing: what of it is not there yet.
    """

    name: str
    wanted: str
    proofs: tuple[str, ...] = ()
    missing: str = ""


CRITERIA = (
    Criterion(
        "A1",
        "One outage is one incident with numbered public statements. What was said never changes; "
        "each statement refers to all before it, and keeps its name for ever.",
        (
            "test_workflow_keeps_its_promises",
            "test_references_name_what_went_out_before",
            "test_two_bulletins_in_a_row_have_two_references",
            "test_identifier_names_one_content_for_ever",
            "test_one_changed_octet_of_a_sealed_bulletin_is_a_signature_error",
        ),
    ),
    Criterion(
        "A2",
        "Incident, bulletin and delivery move by tables alone; every move has somebody, a time and "
        "a place in a history that cannot be changed unnoticed.",
        (
            "test_states_move_by_the_table_alone",
            "test_illegal_move_is_refused_by_the_store",
            "test_workflow_keeps_its_promises",
            "test_changed_history_is_found_by_its_own_hashes",
            "test_decision_that_the_history_does_not_have_is_found",
        ),
    ),
    Criterion(
        "A3",
        "A phone shows every statement once: one serial number for each, the next one for a new "
        "text, none again within a day.",
        (
            "test_update_keeps_the_code_and_raises_the_number",
            "test_seventeenth_version_takes_a_new_code_and_stops_the_old",
            "test_two_incidents_never_share_a_serial_number",
            "test_serial_numbers_go_on_beyond_what_phones_have_seen",
            "test_duplicates_are_dropped_for_a_day",
        ),
    ),
    Criterion(
        "A4",
        "A withdrawal goes before everything, also while a carrier hangs; what it takes back is "
        "never sent afterwards.",
        (
            "test_withdrawal_reaches_a_broadcast_under_way",
            "test_what_is_urgent_does_not_wait_for_the_window",
            "test_withdrawal_stops_what_is_on_air",
            "test_stop_of_what_never_left_is_cancelled",
        ),
    ),
    Criterion(
        "A5",
        "Restored is an update that ends the repetitions after a short time; a cancel is for what "
        "was wrong.",
        (
            "test_restored_is_an_update",
            "test_restored_bulletin_stands_for_a_short_time",
            "test_all_clear_is_a_restored_bulletin",
            "test_the_end_is_told_from_a_reserve",
        ),
    ),
    Criterion(
        "B1",
        "Whoever is told is promised when they hear again, no later than the country's profile "
        "allows. A promise that is missed is noted within five seconds, counted, and a draft lies "
        "ready.",
    ),
    Criterion("B2", "Nothing public shows a repair time for more than a minute after it passed."),
    Criterion(
        "B3", '"No change yet" keeps to a policy; and nothing at all goes out without people.'
    ),
    Criterion(
        "C1",
        "Other carriers carry a failing carrier's news; when it is back, it gets the newest "
        "statement, once.",
        (
            "test_returning_peer_gets_only_the_newest",
            "test_g3_kt_2021_is_told_within_minutes_and_promises_are_kept",
            "test_link_tests_keep_the_last_success",
        ),
    ),
    Criterion(
        "C2",
        "Before anybody approves, and in the report: who is told for sure, who perhaps, who not.",
        ("test_reach_follows_from_what_fails",),
    ),
    Criterion(
        "C3",
        "Nothing that the gateway needs hangs on the network that failed; the public site is files "
        "for any host; two keys issue without the machine.",
        (
            "test_bulletin_goes_out_by_two_keys_and_carriers_alone",
            "test_no_gateway_has_a_code_or_name_of_another",
            "test_merge_brings_everything_and_the_gateway_goes_on",
            "test_each_address_is_held_against_every_carrier",
        ),
    ),
    Criterion(
        "C4",
        "A bundle for broadcasters, signs and other carriers' pages.",
        ("test_altered_bundle_fails", "test_every_number_has_words_of_its_own"),
    ),
    Criterion("D1", "Whoever asks by SMS is answered, in one part or two, at 200 a second."),
    Criterion(
        "D2",
        "Those who answer the telephone have one sheet, in both languages, with all that they "
        "need to say and not to say; as new as the newest statement, on paper, over HTTP and "
        "MQTT; and it is known who has read it.",
        ("test_what_was_said_earlier_is_not_forgotten", "test_reader_has_a_name"),
    ),
    Criterion("D3", "What nobody could answer becomes a list beside the next draft."),
    Criterion(
        "E1",
        "Every statement is sealed by its region; one changed octet is found, before sending and "
        "by anybody afterwards.",
        (
            "test_one_changed_octet_of_a_sealed_bulletin_is_a_signature_error",
            "test_tampered_outbox_is_not_sent",
            "test_seal_is_checked_against_what_is_shown",
            "test_seal_of_a_key_in_overlap_stays_good",
            "test_signed_alert_becomes_a_bulletin",
        ),
    ),
    Criterion(
        "E2",
        "Six characters prove a statement: the exact text, or that it is not ours; nobody can try "
        "them all.",
        ("test_all_together_wait_when_theirs_is_spent", "test_memory_is_bounded"),
    ),
    Criterion(
        "E3",
        "Numbers and links come from a directory that people have tried; others need two people, "
        "and none leads to the network that failed.",
        (
            "test_shipped_entries_are_unverified_until_somebody_has_tried_them",
            "test_a_check_counts_for_so_many_days",
            "test_plan_warns_of_contacts_that_its_texts_show",
            "test_what_looks_like_a_number_or_link_is_found",
        ),
    ),
    Criterion(
        "F",
        "Two people; live, exercise and test never mix; wide areas are typed; the same is not said "
        "twice by mistake; each region has a budget, and corrections need none.",
        (
            "test_author_cannot_approve",
            "test_database_of_another_mode_is_refused",
            "test_settings_of_another_mode_are_refused",
            "test_wide_area_has_to_be_typed",
            "test_updates_and_withdrawals_are_never_held_up",
            "test_budget_is_per_region",
            "test_corrections_need_no_budget",
            "test_withdrawal_and_correction_go_through_on_a_full_disk",
            "test_i1_no_drill_says_that_it_is_real",
            "test_drill_is_public_before_it_happens",
            "test_drill_is_scored_by_what_the_exercise_told",
        ),
        missing="one switch that stops everything",
    ),
    Criterion(
        "G1",
        "Every figure says where it comes from; what nobody measured, or looked up, says that.",
        (
            "test_figures_that_nobody_has_looked_up_say_so",
            "test_population_says_who_counted_and_when",
        ),
    ),
    Criterion(
        "G2",
        "The report is made of the history alone, and is the same to the octet whoever makes it.",
    ),
    Criterion("G3", "What happened is replayed, and scored beside what really happened."),
    Criterion(
        "H",
        "Alarms propose and people decide: a thousand of one cause are one incident, and when they "
        "are over the next state is proposed.",
        (
            "test_thousand_alarms_of_one_cause_are_one_incident",
            "test_cleared_alarms_of_a_confirmed_outage_propose_monitoring",
            "test_cleared_alarms_propose_and_change_nothing",
        ),
    ),
    Criterion(
        "I1",
        "Korean first, English beside it; plain and fair words; no cause before it is confirmed; "
        "pages for every eye, ear, line and printer, 14 KiB at most.",
        (
            "test_shipped_templates_say_nothing_that_the_lint_minds",
            "test_both_guides_have_the_same_commands",
            "test_guide_runs_and_prints_what_it_says",
        ),
    ),
)


def found() -> dict[str, list[str]]:
    """Give the tests that are called after a criterion, by its name."""
    tests: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name, criterion in CALLED.findall(path.read_text("utf-8")):
            tests.setdefault(criterion.upper(), []).append(name)
    return tests


def page() -> str:
    """Give the page as it has to be."""
    called = found()
    lines = [INTRO, "| | what has to hold | proved by |\n", "|---|---|---|\n"]
    for one in CRITERIA:
        proofs = dict.fromkeys([*called.get(one.name, ()), *one.proofs])
        shown = ", ".join(f"`{proof}`" for proof in proofs) or NOT_YET
        if one.missing:
            shown += f"; {NOT_YET}: {one.missing}"
        lines.append(f"| {one.name} | {one.wanted} | {shown} |\n")
    return "".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
