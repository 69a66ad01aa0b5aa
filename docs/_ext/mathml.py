"""Mathematics as MathML, made while the pages are built: no scripts, no fonts and no network are needed to read it."""

import html
import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)

# What docutils does not support: another name of a command; sizes, which MathML chooses itself; and fractions of digits without
# braces, of which it makes one number.
UNSUPPORTED = {
    r"\\dots(?![a-zA-Z])": r"\\ldots",
    r"\\[bB]igm?(?![a-zA-Z])": "",
    r"\\([td]?frac) *([0-9]) *([0-9a-zA-Z])": r"\\\1{\2}{\3}",
}


def inline(translator, node):
    translator.body.append(converted(node, as_block=False))
    raise nodes.SkipNode


def block(translator, node):
    translator.body.append(f'<div class="math">{converted(node, as_block=True)}</div>')
    raise nodes.SkipNode


def converted(node, as_block):
    tex = node.astext()
    for pattern, supported in UNSUPPORTED.items():
        tex = re.sub(pattern, supported, tex)
    try:
        return tex2mathml(tex, as_block=as_block)
    except MathError as error:
        logger.warning("cannot convert to MathML: %s (%s)", tex, error, location=node)
        return html.escape(tex)


def setup(app):
    app.add_html_math_renderer("mathml", inline_renderers=(inline, None), block_renderers=(block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
