"""The page of a run: one self-contained ``report.html``, made from the files of the run's directory alone.

    files       reads the run directory, refuses what is damaged       (schema: the shape of each file)
    summary     what the files say: table, curves, costs, sentences     (quantities: how quantities are written)
    svg         axes and marks                                          (methods: order, words and look of each method)
    charts      learning curves, errors per person, costs, deviations
    section     parts that a task brings, and how they are made from templates
    page        puts it together with the templates and writes the page

The page holds no script and no address of anything outside it, and a policy in its head forbids the browser to load
any. Equal files give equal bytes: the page carries no time of its own making.
"""

from __future__ import annotations

from privateyes.experiments.report.page import write_report

__all__ = ["write_report"]
