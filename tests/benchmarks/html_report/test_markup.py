from benchmarks.html_report.markup import Markup, element, plain


def test_elements_escape_text_and_attributes_and_leave_markup_alone():
    assert element("p", "<b>", Markup("<i></i>"), None, title='"<') == '<p title="&quot;&lt;">&lt;b&gt;<i></i></p>'
    assert element("details", open=True, hidden=False, data_x=1) == '<details open data-x="1"></details>'


def test_plain_shows_what_is_hidden_and_keeps_lines():
    assert plain("a\tb\nc") == "a\tb\nc"
    assert plain("\x1b[0m\u202e\u200b\x85") == "␛[0m[U+202E][U+200B]\ufffd"
    assert plain("\ud800") == "\ufffd"
    assert plain("abcdef", 2) == "ab … (4 more characters)"
