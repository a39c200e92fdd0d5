#!/usr/bin/env bash
# The same SQL condition selects other rows in DuckDB 1.4 and 2.0: `~` matches a whole text or searches it.
#
# Expected: a regular expression operator keeps its meaning, or the upgrade notes turn old uses into errors.
# Observed: `'B8A_20m' ~ 'B8A'` is false in DuckDB 1.4.4 (full match) and true in 2.0.0 (search).
# Why it matters: a condition on band or product names takes other training tiles after an upgrade, and
# nothing fails. `regexp_full_match` and `regexp_matches` mean the same in both.
# Source: DuckDB's documentation of pattern matching, regular expressions.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.0 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import subprocess
import sys

subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                "--target=old", "duckdb==1.4.4"], check=False).returncode == 0 or sys.exit(2)
QUERY = ("SELECT 'B8A_20m' ~ 'B8A', regexp_full_match('B8A_20m', 'B8A'), regexp_matches('B8A_20m', 'B8A')")
CODE = "import sys; sys.path.insert(0, sys.argv[1]); import duckdb; print(duckdb.__version__, *duckdb.connect().execute(sys.argv[2]).fetchone())"
seen = [subprocess.run([sys.executable, "-c", CODE, folder, QUERY], capture_output=True, text=True, check=True).stdout.split()
        for folder in ("old", "")]
print("version, ~, regexp_full_match, regexp_matches")
for row in seen:
    print(*row)
sys.exit(0 if [row[1:] for row in seen] == [["False", "False", "True"], ["True", "False", "True"]] else 1)
PYTHON
