"""What a decision quotes of a policy: its digest, and a fingerprint for each purpose.

The digest changes with anything but how much is enforced. A fingerprint changes only with what a
grant of that purpose is about: services, hosts, trackers, recipients, data, what vendors are told of it.
Wording is not part of it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from bandeau.policy.model import Policy, Service


def digest(policy: Policy) -> str:
    """Return the SHA-256 of the policy, 64 hex digits."""
    return _sha256(policy.model_dump(mode="json", by_alias=True, exclude={"rollout", "partners"}))


def fingerprints(policy: Policy) -> dict[str, str]:
    """Return for each purpose that needs consent the SHA-256 of what it stands for."""
    return {purpose: _sha256(_substance(policy, purpose)) for purpose in policy.consentable}


def _substance(policy: Policy, purpose: str) -> dict[str, Any]:
    services = [s for s in policy.services if purpose in (s.purpose, *s.needs_any)]
    ids = {service.id for service in services}
    trackers = [t for t in policy.trackers if t.purpose == purpose or t.service in ids]
    declared = policy.purpose(purpose)
    told = sorted(
        f"{vendor}.{key}"
        for vendor, keys in policy.signals.vendors.items()
        for key, needs in keys.items()
        if purpose in needs
    )
    return {
        **({"signals": told} if told else {}),
        "data": sorted(declared.data),
        "tcf": [sorted(declared.tcf_purposes), sorted(declared.tcf_special_features)],
        "services": sorted(map(_of_service, services)),
        "trackers": sorted(
            json.dumps(tracker.model_dump(mode="json"), sort_keys=True) for tracker in trackers
        ),
    }


def _of_service(service: Service) -> str:
    kept = service.model_dump(mode="json", exclude={"privacy_policy"})
    kept["hosts"] = sorted(f"{host.host} {' '.join(sorted(host.kinds))}" for host in service.hosts)
    return json.dumps(kept, sort_keys=True)


def _sha256(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
