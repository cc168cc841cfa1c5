"""Write requirements.lock: every package that the tests need, at its version, with the hashes of its file.

    pip install --dry-run --ignore-installed --report report.json --constraint constraints.txt '.[dev]'
    python .ci/lock.py report.json > requirements.lock

The report is pip's own. torch may come from two places, as a build for CPUs alone or with CUDA: the hash of the other
build of the same version is kept from the lock that is there. The build for CPUs is wanted first, where pip finds it:
.ci/torch-cpu.lock has its hash, and is written by hand.
"""

import json
import re
import sys
from pathlib import Path

LOCK = Path(__file__).parent.parent / "requirements.lock"
HEAD = """\
# Every package that the tests need, with the hash of its file: what `make setup` installs on Linux and x86-64.
# Made by .ci/lock.py from pip's report; constraints.txt has what is pinned by hand, for other machines.
"""


def main() -> None:
    known = dict(
        re.findall(
            r"^([\w.-]+==\S+) \\\n((?:    --hash=\S+(?: \\)?\n)+)",
            LOCK.read_text() if LOCK.exists() else "",
            re.M,
        )
    )
    lines = {}
    for item in json.loads(Path(sys.argv[1]).read_text())["install"]:
        if item.get("is_direct"):
            continue  # identbox itself
        name = re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower()
        pin = f"{name}=={item['metadata']['version'].partition('+')[0]}"
        hashes = {item["download_info"]["archive_info"]["hashes"]["sha256"]}
        hashes |= set(re.findall(r"sha256:(\w+)", known.get(pin, ""))) if name == "torch" else set()
        lines[name] = " \\\n".join([pin, *(f"    --hash=sha256:{one}" for one in sorted(hashes))])
    print(HEAD + "\n".join(lines[name] for name in sorted(lines)))


if __name__ == "__main__":
    main()
