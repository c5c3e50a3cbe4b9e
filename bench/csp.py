"""How many bytes the second policy takes: `python bench/csp.py [bandeau.toml]`.

Without a file: 142 services of one host each, named as hosts of advertising and social networks are
(13 to 39 letters), half of them under each of two purposes, and 30 hosts of the publisher's own.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from bandeau.gate import csp
from bandeau.gate.verdict import Rules
from bandeau.policy.file import load, loads
from bandeau.policy.model import Policy

KINDS = '["script", "image", "frame", "connect", "style", "font", "media"]'


def made_up() -> Policy:
    parts = ["cdn", "pixel", "static", "connect", "platform", "securepubads", "tags", "sync-eu"]
    names = ["adserve.example", "social-network.example", "metrics.example", "x.co.example"]
    hosts = [
        f"{a}{n}.{b}"
        for n, (a, b) in zip(range(142), itertools.cycle(itertools.product(parts, names)))
    ]
    text = (
        'version = 1\n[proof]\nkeep_days = 912\n[controller]\nname = "a"\naddress = "a"\ncontact = "a"\n'
        'privacy_policy = "/"\n[site]\norigins = ["https://paper.example"]\nlanguages = ["fr"]\nown_hosts = ['
    )
    text += (
        ", ".join(
            f'{{ host = "img{n}.paper.example", kinds = ["image", "style"] }}' for n in range(30)
        )
        + "]\n"
    )
    text += '[[purpose]]\nid = "social"\n[[purpose]]\nid = "ads"\n'
    for n, host in enumerate(hosts):
        text += f'[[service]]\nid = "s{n}"\npurpose = "{"ads" if n % 2 else "social"}"\nrecipient = "r"\n'
        text += f'hosts = [{{ host = "{host}", kinds = {KINDS} }}]\n'
    return loads(text)


def main() -> None:
    policy = load(Path(sys.argv[1])) if len(sys.argv) > 1 else made_up()
    rules = Rules(policy)
    print(f"the second policy, {len(policy.services)} services")
    ids = [*rules.purposes]
    for granted in [frozenset(), *(frozenset({p}) for p in sorted(ids)), frozenset(ids)]:
        allowance = rules.allowance(granted)
        once = sum(
            len(host) + 1 for host in {h for hosts in allowance.hosts.values() for h in hosts}
        )
        size = len(csp.policy(allowance))
        print(
            f"  {', '.join(sorted(granted)) or 'nothing':20} {size:6} bytes ({once} if each host stood once)"
        )


if __name__ == "__main__":
    main()
