"""What is sent is exactly what makes the installed flows the desired ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from apps.framework.cookie import cookie
from apps.framework.flow import Flow, Normal, by_key, match
from controller.openflow.tables.reconcile import Delta, diff, split
from controller.openflow.wire.flow_messages import InstalledFlow

DROP, NORMAL = (), (Normal(),)
ONE = Flow(2, match(in_port=1), DROP, cookie=1)


def test_nothing_to_do() -> None:
    """A bridge that is right already is sent nothing."""
    delta = diff(by_key([ONE]), by_key([ONE]))
    assert delta == Delta()
    assert not delta
    assert len(delta) == 0


def test_missing_flows_are_added_and_unwanted_ones_removed() -> None:
    """What is wanted and absent is added, what is there and not wanted is removed."""
    other = Flow(2, match(in_port=2), DROP, cookie=1)
    delta = diff(by_key([ONE]), by_key([other]))
    assert delta == Delta((ONE,), (other,))
    assert len(delta) == 2


def test_other_actions_or_cookie_replace() -> None:
    """A flow whose actions or cookie differ is written over, never removed first."""
    for changed in (Flow(2, match(in_port=1), NORMAL, cookie=1), Flow(2, match(in_port=1), DROP, cookie=9)):
        assert diff(by_key([changed]), by_key([ONE])) == Delta(adds=(changed,))


def test_only_the_keys_that_are_asked_for() -> None:
    """Keys that did not change are not looked at."""
    other = Flow(2, match(in_port=2), DROP, cookie=1)
    assert diff(by_key([ONE, other]), {}, [other.key]) == Delta(adds=(other,))
    assert diff({}, by_key([ONE, other]), [ONE.key]) == Delta(removes=(ONE,))
    assert not diff({}, {}, [ONE.key])


_FLOWS = st.lists(
    st.builds(
        lambda port, actions, name: Flow(2, match(in_port=port), actions, cookie(1, name)),
        st.integers(1, 5), st.sampled_from([DROP, NORMAL]), st.sampled_from(["a", "b"]),
    )
).map(by_key)  # fmt: skip


@given(_FLOWS, _FLOWS)
def test_applied_it_gives_what_is_desired(desired: dict, installed: dict) -> None:
    """Removing and adding what it says turns any table into the desired one, and touches no flow that is right."""
    delta = diff(desired, installed)
    after = dict(installed)
    for flow in delta.removes:
        assert flow.key not in desired
        del after[flow.key]
    for flow in delta.adds:
        assert installed.get(flow.key) != flow
        after[flow.key] = flow
    assert after == desired


@given(_FLOWS, _FLOWS)
def test_a_dumped_flow_that_is_known_is_kept_once(known: dict, there: dict) -> None:
    """The objects are the known ones, keys too; what the table is said to hold is what was dumped."""
    raw = b"", b"", *[0] * 7
    dumped = [InstalledFlow(one, one.match, one.table, one.priority, one.cookie, *raw) for one in there.values()]
    found, foreign = split(dumped, known)
    assert (found, foreign) == (there, [])
    for key, flow in found.items():
        if flow == known.get(key):
            assert flow is known[key]
            assert key is flow.key
