"""The chart's rights are taken away, and given back."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from lowbit.kube.resources import RESOURCES
from tests.faults.plan import Call
from tests.faults.play import Cast, Play
from tests.faults.stage import Stage, live

MISSING = 'cannot create resource "jobs"'


async def all_rights_taken(stage: Stage) -> list[str]:
    """The chart's bindings go in the middle of a life, and come again."""
    scenario = "first-apply"
    await stage.clean(scenario)
    async with stage.account() as (account, installation), stage.play(Cast(account=account)) as play:
        came = asyncio.Event()

        async def gate(call: Call) -> None:
            if call.asked.text.startswith("create:jobs:quantize-"):
                came.set()

        play.proxy.gate = gate
        life = asyncio.create_task(live(stage, play, scenario))
        await play.until("it quantizes", lambda: came.is_set() or life.done())
        for path in _bindings(installation):
            await stage.admin.call("DELETE", path)
        play.proxy.cut()
        # It has to hear of it: by then it has no right to tell anybody but its log.
        try:
            for what in ("Lease", "watch=true"):
                await play.until(f"it tells of its {what}", partial(_forbidden, play, what))
        finally:
            await asyncio.to_thread(installation.install)
        return await life


def _forbidden(play: Play, what: str) -> bool:
    """Whether the log says that it may not."""
    return any("orbidden" in line and what in line for line in play.log.read_text().splitlines())


def _bindings(installation: Any) -> list[str]:
    group = "/apis/rbac.authorization.k8s.io/v1"
    return [
        f"{group}/clusterrolebindings/{each['metadata']['name']}"
        if each["kind"] == "ClusterRoleBinding"
        else f"{group}/namespaces/{each['metadata']['namespace']}/rolebindings/{each['metadata']['name']}"
        for each in installation.manifests
        if each["kind"] in ("ClusterRoleBinding", "RoleBinding")
    ]


async def one_right_taken(stage: Stage) -> list[str]:
    """The right to create Jobs is missing, and comes later: an Event on the object says which it is."""
    scenario = "first-apply"
    await stage.clean(scenario)
    async with stage.account() as (account, installation), stage.play(Cast(account=account)) as play:
        role = next(each for each in installation.manifests if each["kind"] == "ClusterRole" and _makes_jobs(each))
        path = f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{role['metadata']['name']}"
        await stage.admin.call("PUT", path, role | {"rules": [_without_create(each) for each in role["rules"]]})
        life, said = asyncio.create_task(live(stage, play, scenario)), ""
        try:
            while MISSING not in said and not life.done():
                listing = await stage.admin.call("GET", RESOURCES["Event"].path(play.space.name))
                said = "".join(each.get("note", "") for each in listing["items"] if each["reason"] == "ReconcileFailed")
                await asyncio.sleep(0.05)
        finally:
            await asyncio.to_thread(installation.install)
        return [*await life, *([] if MISSING in said else ["no event says what is missing"])]


def _makes_jobs(role: Any) -> bool:
    return any("jobs" in rule["resources"] and "create" in rule["verbs"] for rule in role["rules"])


def _without_create(rule: Any) -> Any:
    if "jobs" not in rule["resources"]:
        return rule
    return rule | {"verbs": [verb for verb in rule["verbs"] if verb != "create"]}
