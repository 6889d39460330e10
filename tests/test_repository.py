"""Files at the root: what they repeat from elsewhere is the same there."""

import os
import re
from pathlib import Path

import yaml

from mmcm.version import __version__

ROOT = Path(__file__).parent.parent


def read_yaml(name):
    return yaml.safe_load((ROOT / name).read_text(encoding='utf-8'))


def test_citation_describes_this_version_and_cites_a_paper_of_each_method():
    citation = read_yaml('CITATION.cff')
    assert citation['version'] == __version__ and citation['license'] == 'MIT'
    cited = {reference['title'] for reference in citation['references']}
    pages = [page.read_text(encoding='utf-8') for page in (ROOT / 'configs').glob('*/README.md')]
    papers = re.findall(r'@inproceedings{\w+,\s+title\s*=\s*{(.+?)},', '\n'.join(pages))
    assert len(papers) >= 6 and cited == set(papers)


def test_hooks_before_a_commit_run_what_lint_runs():
    (repository,) = read_yaml('.pre-commit-config.yaml')['repos']
    assert repository['repo'] == 'local'
    recipe = re.search(r'^lint:.*?\n((?:\t.*\n)+)', (ROOT / 'Makefile').read_text(), re.MULTILINE)[1]
    linted = [re.findall(r'-m ([\w-]+(?: check| format)?)', line)[0] for line in recipe.splitlines()]
    hooked = [re.findall(r'-m ([\w-]+(?: check| format)?)', hook['entry'])[0] for hook in repository['hooks']]
    assert linted == hooked


def test_hosted_workflow_runs_the_check_of_this_checkout():
    workflow = read_yaml('.github/workflows/ci.yml')
    (job,) = workflow['jobs'].values()
    scripts = [step['run'] for step in job['steps'] if 'run' in step]
    assert scripts == ['.ci/run'] and os.access(ROOT / '.ci' / 'run', os.X_OK)


def test_changelog_has_the_version_and_what_is_unreleased():
    headings = re.findall(r'^## (\S+)', (ROOT / 'CHANGELOG.md').read_text(encoding='utf-8'), re.MULTILINE)
    assert headings[:2] == ['Unreleased', __version__]
