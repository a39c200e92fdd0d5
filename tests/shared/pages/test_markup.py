from tilepipe.components.shared.pages.markup import Markup, element, escaped, join


def test_text_is_escaped_and_markup_is_not():
    assert element("p", "<b>&", element("b", '"x"')) == "<p>&lt;b&gt;&amp;<b>&quot;x&quot;</b></p>"
    assert join("<", None, 7, Markup("<br>")) == "&lt;7<br>"
    assert isinstance(escaped("<"), Markup)
    assert escaped(escaped("<")) == "&lt;"


def test_attributes_are_escaped_and_named_as_html_names_them():
    assert element("th", class_="a", aria_label='"><script>', title=None, hidden=False) == (
        '<th class="a" aria-label="&quot;&gt;&lt;script&gt;"></th>'
    )
    assert element("input", checked=True, tabindex=0) == '<input checked tabindex="0">'


def test_markup_is_not_immune_in_an_attribute():
    assert element("p", title=Markup('"><script>')) == '<p title="&quot;&gt;&lt;script&gt;"></p>'
