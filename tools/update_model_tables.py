#!/usr/bin/env python
"""Write the tables of the model pages, `configs/*/README*.md`, from the metafiles, and the settings from the configs.

A page has the table between the lines `<!-- models begin -->` and `<!-- models end -->`, and
likewise the settings.
"""

import re
from pathlib import Path

from mmcm.config import read_config
from mmcm.zoo import ZooModel, list_models, list_recipes, root

TABLE = re.compile(r'(?<=<!-- models begin -->\n).*?(?=<!-- models end -->)', re.DOTALL)
SETTINGS = re.compile(r'(?<=<!-- settings begin -->\n).*?(?=<!-- settings end -->)', re.DOTALL)
SETTINGS_TEXTS = {
    'README.md': '{} images per step, {} steps, learning rate {}, dropout {}, decays of the averages: {}',
    'README_zh-CN.md': '每步 {} 张图像，共 {} 步，学习率 {}，dropout {}，平均的衰减率：{}',
}
HEADS = {
    'README.md': ('Config', 'Data', 'Two-step points', 'Parameters', 'NFE', 'FID published', 'FID here', 'Download'),
    'README_zh-CN.md': ('配置', '数据', '两步采样点', '参数量', 'NFE', '发表的 FID', '本库的 FID', '下载'),
}
WORDS = {  # one-step and multistep config, no score of ours
    'README.md': ('one-step', 'multistep', 'not measured'),
    'README_zh-CN.md': ('一步', '多步', '未测量'),
}
ELSEWHERE = 'another network'  # at the end of a source: scores of the same method with a network that ours is not


def main() -> None:
    """Run the script."""
    for page in pages():
        page.write_text(updated(page), encoding='utf-8')


def pages() -> list[Path]:
    """Return the pages that have a table."""
    return [page for page in sorted((root() / 'configs').glob('*/README*.md')) if TABLE.search(page.read_text('utf-8'))]


def updated(page: Path) -> str:
    """Return the text of a page with its table as the metafiles have it."""
    models = [
        model for model in (*list_models(), *list_recipes()) if Path(model.config).parent.name == page.parent.name
    ]
    rows = [row(model, page.name) for model in models]
    kept = [place for place in range(len(HEADS[page.name])) if any(cells[place] for cells in rows)]
    lines = [HEADS[page.name], [':--'] * len(HEADS[page.name]), *rows]
    table = ''.join(f'| {" | ".join(cells[place] or "-" for place in kept)} |\n' for cells in lines)
    text = TABLE.sub(lambda _: table, page.read_text(encoding='utf-8'))
    configs = dict.fromkeys(model.config for model in models)
    lines = ''.join(f'- {settings(config, SETTINGS_TEXTS[page.name])}\n' for config in configs)
    return SETTINGS.sub(lambda _: lines, text)


def settings(config: str, text: str) -> str:
    """Return a line of the training settings of a config, with its numbers put into `text`."""
    content = read_config(config)
    rate = f'{content.optim_wrapper.optimizer.lr:.1e}'.replace('.0e', 'e').replace('e-0', 'e-')
    steps = f'{content.train_cfg.max_iters:,}'.replace(',', ' ')
    dropout = content.model.denoiser.backbone.get('dropout', 0.0)
    decays = ', '.join(map(decay_text, content.model.get('ema_decays', ()))) or '-'
    numbers = text.format(content.auto_scale_lr.base_batch_size, steps, rate, dropout, decays)
    return f'`{Path(config).stem}`: {numbers}'


def decay_text(decay: float | dict) -> str:
    """Return the text of a decay: a number, or the setting that it follows."""
    if isinstance(decay, dict):
        return ', '.join(f'{key} {value}' for key, value in decay.items())
    return f'{decay:.7g}'


def row(model: ZooModel, page: str) -> list[str]:
    """Return the cells of a model, empty where there is nothing to say."""
    onestep, multistep, unmeasured = WORDS[page]
    file = Path(model.config).name
    if 'onestep' in file:
        config = f'[{onestep}](./{file}) / [{multistep}](./{file.replace("onestep", "multistep")})'
    else:
        config = f'[`{Path(file).stem}`](./{file})'
    scored = next((each for each in list_models() if each.name == model.released), model)
    results = [result for result in scored.results if 'FID' in result['Metrics']]
    scores = ' / '.join(score(result['Metrics']['FID']) for result in results)
    points = model.sampler and f'{", ".join(map(str, model.sampler["indices"]))} / {model.sampler["num_scales"]}'
    return [
        config,
        model.dataset or '',
        points or '',
        parameters_text(model.parameters or 0),
        ' / '.join(str(result['NFE']) for result in results or scored.results if 'NFE' in result)
        or ('1 / 2' if scored.sampler else '1'),
        f'{scores} *' if ELSEWHERE in (scored.source or '') else scores,
        unmeasured,
        f'[`{scored.name}`]({scored.weights})' if scored.weights else '',
    ]


def parameters_text(number: int) -> str:
    """Return a number of parameters in millions, with three digits or all of them."""
    millions = number / 1e6
    return f'{millions:.3g} M' if millions < 999.5 else f'{millions:.0f} M'


def score(value: float) -> str:
    """Return a score with the digits that papers give it."""
    return f'{value:.2f}' if value < 10 else str(value)


if __name__ == '__main__':
    main()
