"""Audit uv.lock for known vulnerabilities: `make audit`.

pip-audit asks PyPI's advisory database about each pinned version. An advisory fails the audit, except while
`.github/advisories.toml` explains it; each explanation has a date after which the advisory fails again.
"""

import datetime as dt
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXPLAINED = ROOT / ".github" / "advisories.toml"
PIP_AUDIT = "pip-audit==2.9.0"
LONGEST = dt.timedelta(days=180)
"""Longest time for which an explanation may hold."""


@dataclass(frozen=True)
class Explanation:
    """Reason why an advisory does not concern tilepipe, for now."""

    id: str
    package: str
    reason: str
    written: dt.date
    expires: dt.date


@dataclass(frozen=True)
class Advisory:
    """A known vulnerability of a locked version."""

    package: str
    version: str
    names: frozenset[str]
    """Its id and aliases, such as a CVE number."""
    fixed_in: tuple[str, ...]

    def __str__(self) -> str:
        """Describe it with its remedy."""
        fix = f"fixed in {', '.join(self.fixed_in)}" if self.fixed_in else "not fixed yet"
        return f"{self.package} {self.version}: {', '.join(sorted(self.names))}, {fix}"


def read_explanations(path: Path = EXPLAINED) -> list[Explanation]:
    """Read and check the explanations.

    Raises:
        ValueError: one is incomplete, too short or holds for too long.
    """
    found = [Explanation(**entry) for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("advisory", [])]
    for one in found:
        if len(one.reason.split()) < 5 or not dt.timedelta(0) < one.expires - one.written <= LONGEST:
            raise ValueError(f"{one.id} needs a reason in a sentence, and to expire within {LONGEST.days} days")
    return found


def advisories(report: Mapping[str, object]) -> list[Advisory]:
    """Return the advisories in pip-audit's report.

    Raises:
        ConnectionError: packages were skipped, as pip-audit does where the database does not answer.
    """
    dependencies: Iterable[Mapping] = report["dependencies"]  # type: ignore[assignment,type-arg]
    skipped = [entry["name"] for entry in dependencies if "skip_reason" in entry]
    if skipped:
        raise ConnectionError(
            f"The advisory database must know every package. Received: no answer about {len(skipped)} of "
            f"{len(list(dependencies))}, such as {skipped[0]}. Run the audit where https://pypi.org answers."
        )
    return [
        Advisory(
            entry["name"], entry["version"], frozenset([found["id"], *found["aliases"]]), tuple(found["fix_versions"])
        )
        for entry in dependencies
        for found in entry["vulns"]
    ]


def problems(found: Iterable[Advisory], explained: Iterable[Explanation], today: dt.date) -> list[str]:
    """Return why the audit fails: advisories without a valid explanation, and explanations without an advisory."""
    found, explained = list(found), list(explained)
    failures = []
    for advisory in found:
        reasons = [one for one in explained if one.id in advisory.names and one.package == advisory.package]
        if not reasons:
            failures.append(f"{advisory}. Update it, or explain it in {EXPLAINED.name}.")
        elif all(one.expires <= today for one in reasons):
            failures.append(
                f"{advisory}. The explanation expired on {max(one.expires for one in reasons)}: decide again."
            )
    failures += [
        f"{one.id} of {one.package} no longer occurs: remove its explanation."
        for one in explained
        if not any(one.id in advisory.names and one.package == advisory.package for advisory in found)
    ]
    return failures


def audit(uv: str) -> list[str]:
    """Ask the database about everything in uv.lock that is installed on this platform, with its hashes."""
    with tempfile.TemporaryDirectory() as folder:
        locked, report = Path(folder) / "locked.txt", Path(folder) / "report.json"
        export = [
            uv,
            "export",
            "--quiet",
            "--frozen",
            "--all-extras",
            "--no-emit-project",
            "--output-file",
            str(locked),
        ]
        subprocess.run(export, check=True, cwd=ROOT)
        command = [uv, "tool", "run", "--quiet", PIP_AUDIT, "--no-deps", "--disable-pip", "--require-hashes"]
        command += ["--progress-spinner", "off", "--format", "json", "--output", str(report), "-r", str(locked)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        if not report.exists():
            raise ConnectionError(f"pip-audit must finish. Received: {done.stderr[-800:]}")
        found = advisories(json.loads(report.read_text(encoding="utf-8")))
    return problems(found, read_explanations(), dt.datetime.now(dt.UTC).date())


def main() -> None:
    """Print the problems; exits with 1 if there are any, and with 2 if the audit could not be made."""
    try:
        failures = audit(sys.argv[1])
    except (ConnectionError, ValueError) as error:
        print(f"no audit: {error}", file=sys.stderr)
        sys.exit(2)
    print("\n".join(failures) or "no known vulnerabilities without an explanation")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
