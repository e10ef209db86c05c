"""A restored etcd is noticed by a LIST; and nothing else is ever taken for one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lowbit.observe.cache import Cache
from lowbit.observe.keys import Reference
from lowbit.observe.restored import RestoreDetector

KIND, SPACE = "ModelRevision", "team"
NAMES = ("a", "b", "c")
Steps = list[tuple[str, str]]
steps: st.SearchStrategy[Steps] = st.lists(
    st.tuples(st.sampled_from(("write", "delete")), st.sampled_from(NAMES)), max_size=8
)


@dataclass
class Etcd:
    """Objects, and a revision that grows with every write."""

    revision: int = 100
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)

    def run(self, history: Steps) -> None:
        for action, name in history:
            if action == "write" or name in self.objects:
                self.revision += 1
            if action == "delete":
                self.objects.pop(name, None)
                continue
            uid = self.objects[name]["metadata"]["uid"] if name in self.objects else f"uid-{self.revision}"
            metadata = {"name": name, "namespace": SPACE, "uid": uid, "resourceVersion": str(self.revision)}
            self.objects[name] = {"apiVersion": "lowbit.dev/v1alpha1", "kind": KIND, "metadata": metadata}

    def copy(self) -> Etcd:
        return Etcd(self.revision, dict(self.objects))

    def contradicts(self, past: RestoreDetector) -> Reference | None:
        """By a LIST of all that there is."""
        past.take(self.objects.values())
        return past.contradicted(str(self.revision))

    def seen_by(self, cache: Cache) -> None:
        cache.sync(KIND, self.objects.values(), str(self.revision))


@given(steps, steps, steps)
def test_an_ordinary_past_is_never_taken_for_a_restored_one(before: Steps, meanwhile: Steps, late: Steps) -> None:
    """Whatever a watch brings between the request for a LIST and its answer."""
    cache, etcd = Cache(), Etcd()
    etcd.run(before)
    etcd.seen_by(cache)
    past = RestoreDetector(cache, KIND, None)
    etcd.run(meanwhile)
    listed = etcd.copy()
    etcd.run(late)
    etcd.seen_by(cache)
    assert listed.contradicts(past) is None


@given(steps, steps, steps, steps)
def test_a_look_that_is_behind_at_first_is_never_taken_for_another_past(
    before: Steps, shown: Steps, caught_up: Steps, late: Steps
) -> None:
    """As a streamed LIST may be: the state, then the changes since. Meanwhile a watch and our own writes bring more."""
    cache, etcd = Cache(), Etcd()
    etcd.run(before)
    past = RestoreDetector(cache, KIND, None)
    etcd.run(shown)
    first = etcd.copy()
    etcd.run(caught_up)
    second = etcd.copy()
    etcd.run(late)
    etcd.seen_by(cache)
    past.take(first.objects.values())
    gone = [each for name, each in first.objects.items() if name not in second.objects]
    past.take(second.objects.values(), gone)
    assert past.contradicted(str(second.revision)) is None


@given(steps, steps.filter(lambda steps: ("write", "a") in steps), steps, st.booleans())
def test_whatever_was_seen_of_a_future_that_is_gone_is_noticed_or_does_no_harm(
    before: Steps, lost: Steps, after: Steps, bumped: bool
) -> None:
    """With a revision that begins where it was (etcdutl snapshot restore) or far above (--bump-revision)."""
    cache, etcd = Cache(), Etcd()
    etcd.run(before)
    restored = etcd.copy()
    etcd.run(lost)
    etcd.seen_by(cache)
    if bumped:
        restored.revision += 1_000_000
    restored.run(after)
    past = RestoreDetector(cache, KIND, SPACE)
    if restored.contradicts(past) is None:
        restored.seen_by(cache)
        versions = {name: version for version, (_, _, name) in cache.versions(KIND, SPACE)}
        assert versions == {name: each["metadata"]["resourceVersion"] for name, each in restored.objects.items()}, (
            "what is not noticed is seen as it is"
        )


def test_a_restore_to_before_anything_else_happened_is_noticed() -> None:
    cache, etcd = Cache(), Etcd()
    etcd.run([("write", "a")])
    restored = etcd.copy()
    etcd.run([("write", "b")])
    etcd.seen_by(cache)
    past = RestoreDetector(cache, KIND, None)
    assert restored.contradicts(past) == (KIND, SPACE, "b")


def test_versions_that_are_no_numbers_say_nothing() -> None:
    cache, etcd = Cache(), Etcd()
    etcd.run([("write", "a")])
    etcd.seen_by(cache)
    assert RestoreDetector(cache, KIND, None).contradicted("abc") is None
