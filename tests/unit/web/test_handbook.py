"""The handbook as the dashboard shows it."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from fastapi import HTTPException

from waitlist_airflow.web.handbook import FILE, read_handbook, to_html


def test_the_handbook_becomes_a_page_whose_links_lead_to_its_own_headings() -> None:
    page = read_handbook(FILE).html
    headings = set(re.findall(r'<h[123] id="([^"]+)"', page))
    links = {unquote(link) for link in re.findall(r'href="#([^"]+)"', page)}
    assert len(links) > 2
    assert links <= headings
    assert re.findall(r'href="(?!#)', page) == []


def test_a_link_to_another_document_becomes_its_text() -> None:
    assert (
        to_html("Se [boken](runbook.md) och [nästa](#här).") == '<p>Se boken och <a href="#h%C3%A4r">nästa</a>.</p>\n'
    )


def test_a_tag_in_the_text_is_shown_and_not_obeyed() -> None:
    assert to_html("<script>x</script>") == "<p>&lt;script&gt;x&lt;/script&gt;</p>\n"


def test_a_table_can_be_scrolled_and_its_cells_say_of_which_column_they_are() -> None:
    page = to_html('## När "det" sker\n\n| du ser | gör så |\n| --- | --- |\n| rött | vänta |\n')
    assert '<h2 id="när-det-sker">' in page
    assert 'role="region" aria-label="Tabell: När &#34;det&#34; sker" tabindex="0"' in page
    assert '<td data-label="du ser">rött</td>\n<td data-label="gör så">vänta</td>' in page


def test_an_installation_without_the_file_says_that_it_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HTTPException) as raised:
        read_handbook(tmp_path / "handbok.md")
    assert raised.value.status_code == 404
