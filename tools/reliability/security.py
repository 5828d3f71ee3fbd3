"""No code of strangers runs: what programs and workflows must not do, and what is known of the dependencies."""

import argparse
import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import yaml

from tools.reliability.figures import ROOT

FOLDERS = ("vaecourse", "tools", "benchmarks", "examples", "book")
PROGRAMS = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
READS_CODE = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
WRITES_PICKLES = {"tools/reliability/damage.py"}
"""Programs that write a pickle, to see that nobody reads it."""
MAY_WRITE = {("pages", "deploy"): {"pages", "id-token"}, ("pages", "colab"): {"contents"}}
TESTS = "tests/test_security.py"


def measure(options: argparse.Namespace, before: dict[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
    """Look into every program and workflow, run the tests of security, and ask for known vulnerabilities."""
    programs = {str(path.relative_to(ROOT)): unsafe_of(path) for path in PROGRAMS}
    found = [f"{path}: {what}" for path, unsafe in programs.items() for what in unsafe]
    workflows = [fault for path in WORKFLOWS for fault in faults_of_workflow(path.stem, path.read_text())]
    tests = subprocess.run([sys.executable, "-m", "pytest", "-q", TESTS], cwd=ROOT, capture_output=True, text=True)
    passed = tests.returncode == 0
    audit = known_vulnerabilities(("--requirement", "requirements.lock", "--no-deps", "--disable-pip"))
    rows = [
        [
            "Programs that unpickle, evaluate, run a shell, or load without safe mode",
            f"{len(found)} of {len(programs)}",
        ],
        ["Workflows with more permissions than they need, or with actions not pinned to a commit", str(len(workflows))],
        [f"`{TESTS}`: strangers' `.keras` files are loaded in safe mode", "passed" if passed else "failed"],
        ["Known vulnerabilities of what is locked, by pip-audit", audit],
    ]
    findings = [*found, *workflows, *([] if passed else [tests.stdout[-500:]])]
    return {"rows": rows, "programs": len(programs), "findings": len(findings), "list": findings, "pip-audit": audit}


def unsafe_of(path: Any) -> list[str]:
    """Return what in a program of the project runs, or may run, the code of others."""
    allowed = {"pickle"} if str(path.relative_to(ROOT)) in WRITES_PICKLES else set()
    code = path.read_text(encoding="utf-8")
    return [what for what in unsafe(code) if what not in allowed or re.search(r"pickle\.loads?\b|Unpickler", code)]


def unsafe(code: str) -> list[str]:
    """Return what in a program runs, or may run, the code of others."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found += [name for name in names if name.split(".")[0] in READS_CODE]
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            found += [called] * (called in ("eval", "exec", "os.system", "os.popen"))
            found += [called] * (called.endswith("enable_unsafe_deserialization"))
            found += [called] * (called in ("np.load", "numpy.load") and given.get("allow_pickle", "False") != "False")
            found += [called] * (called.startswith("yaml.") and "load" in called and "safe_load" not in called)
            found += [called] * (given.get("safe_mode", "True") != "True" or given.get("shell", "False") != "False")
    return found


def faults_of_workflow(name: str, text: str) -> list[str]:
    """Return what a workflow may do and need not: write, run what strangers wrote, or actions that can change."""
    workflow = yaml.safe_load(text)
    found = []
    if workflow.get("permissions") != {"contents": "read"}:
        found.append(f"{name} may do more than read: {workflow.get('permissions')}")
    if "pull_request_target" in workflow[True]:  # as YAML reads `on`
        found.append(f"{name} runs with the rights of this repository what strangers propose")
    for job, steps in workflow["jobs"].items():
        granted = steps.get("permissions", {})
        written = {scope for scope, level in granted.items() if level == "write"}
        if written != MAY_WRITE.get((name, job), set()):
            found.append(f"{name}, {job} may write {sorted(written)}")
        for step in steps["steps"]:
            named = {each.strip() for each in re.findall(r"\$\{\{(.*?)\}\}", step.get("run", ""))}
            if strange := named - {"github.repository", "github.sha", "matrix.setting"}:
                found.append(f"{name}, {job} makes a command of {sorted(strange)}, which others may write")
    for action, comment in re.findall(r"uses: *(\S+)(.*)", text):
        if not re.search(r"@[0-9a-f]{40}$", action) or not re.search(r"# v\d+\.\d+\.\d+", comment):
            found.append(f"{name} runs {action}, which is not pinned to the commit of a release")
    return found


def known_vulnerabilities(arguments: Sequence[str]) -> str:
    """Return what pip-audit finds in a file of requirements, or why it cannot."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", *arguments]
    try:
        called = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        return "no database of vulnerabilities could be reached"
    if not called.stdout.strip():
        missing = "No module named" in called.stderr
        return "pip-audit is not installed" if missing else "no database of vulnerabilities could be reached"
    return said(json.loads(called.stdout)["dependencies"])


def said(dependencies: Sequence[dict[str, Any]]) -> str:
    """Say what pip-audit answered: it passes over, without failing, what it finds in no database."""
    skipped = sum("skip_reason" in each for each in dependencies)
    if skipped == len(dependencies):
        return "no database of vulnerabilities could be reached"
    found = [each for each in dependencies if each.get("vulns")]
    names = [f"{each['name']} {each['version']} ({', '.join(v['id'] for v in each['vulns'])})" for each in found]
    of = f" of {len(dependencies) - skipped} packages" + (f"; {skipped} are in no database" if skipped else "")
    return ("; ".join(names) or "none known") + of
