"""Search in English and Chinese.

Sphinx splits a text at spaces and punctuation, and Chinese has no spaces between words. The index
therefore also gets each pair of neighbouring Chinese characters, which is the length of most
Chinese words. A query of two characters finds such a pair, and a longer query is found as a part of
a whole clause.
"""

import re

from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish

CHINESE = re.compile("[\u4e00-\u9fff]+")


class SearchEnglishAndChinese(SearchEnglish):
    lang = "en-zh"

    def split(self, input: str) -> list[str]:
        pairs = [run[i : i + 2] for run in CHINESE.findall(input) for i in range(len(run) - 1)]
        return super().split(input) + pairs


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_search_language(SearchEnglishAndChinese)
    return {"parallel_read_safe": True}
