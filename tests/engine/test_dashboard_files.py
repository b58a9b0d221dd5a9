"""What a tab loads: few files, joined from many, kept by the browser for a version."""

from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from scopeside.dashboard import joined
from scopeside.dashboard.files import bundle
from scopeside.dashboard.page import Page
from scopeside.dashboard.place import bokeh_scripts
from scopeside.dashboard.rules import STATIC
from scopeside.dashboard.server import Server

TOKEN = "the-token-of-the-tests"


@pytest.fixture(scope="module")
def served():
    server = Server(Page(), 0, TOKEN, lambda shown: {})
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def ours():
    return bundle(bokeh_scripts())


def get(served, path):
    with urlopen(f"{served.address}/{path}") as found:
        return found.headers, found.read()


def write(folder, **modules):
    for name, text in modules.items():
        path = folder / f"{name.replace('__', '/')}.js"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


# -- joined ----------------------------------------------------------------------------


def test_a_module_stands_behind_those_that_it_needs_and_each_is_there_once(tmp_path):
    write(
        tmp_path,
        main='import { a } from "./sub/a.js";\nimport { b } from "./b.js";\na(b);\n',
        sub__a='import { b } from "../b.js";\nexport function a() {}\n',
        b="export const b = 1;\n",
    )
    made = joined.script(tmp_path, "main.js")
    places = [made.index(f"// {name}\n") for name in ("b.js", "sub/a.js", "main.js")]
    assert places == sorted(places)
    assert made.count("const b = 1;") == 1


def test_names_are_taken_as_they_were_exported(tmp_path):
    write(
        tmp_path,
        main='import {\n  a as one,\n  b,\n} from "./x.js";\n'
        'import * as x from "./x.js";\n',
        x="export async function a() {}\nexport class b {}\n",
    )
    made = joined.script(tmp_path, "main.js")
    assert 'const {\n  a: one,\n  b,\n} = parts["x.js"];' in made
    assert 'const x = parts["x.js"];' in made
    assert "\nasync function a() {}\nclass b {}\n\nreturn { a, b };" in made


@pytest.mark.parametrize(
    "line",
    ['export * from "./x.js";', "export default 1;", 'import x from "./x.js";',
     "export let a = 1;", 'import "./x.js";'],
)  # fmt: skip
def test_a_module_of_another_kind_is_refused_by_name(tmp_path, line):
    write(tmp_path, main=line, x="")
    with pytest.raises(ValueError, match=r"^main\.js: .* is no import or export"):
        joined.script(tmp_path, "main.js")


def test_modules_that_need_each_other_are_refused(tmp_path):
    write(
        tmp_path,
        a='import { b } from "./b.js";\nexport const a = 1;\n',
        b='import { a } from "./a.js";\nexport const b = 1;\n',
    )
    with pytest.raises(ValueError, match=r"need each other: a\.js → b\.js → a\.js"):
        joined.script(tmp_path, "a.js")


def test_every_module_of_the_page_is_in_its_script(ours):
    script = ours.kept["scopeside.js"].decode()
    names = {str(path.relative_to(STATIC)) for path in STATIC.rglob("*.js")}
    assert len(names) > 100
    missing = {name for name in names if f'parts["{name}"] = ' not in script}
    assert missing == {"js/theme_first.js"}  # before the first paint, by itself


def test_every_style_sheet_is_in_the_joined_one(ours):
    sheet = ours.kept["scopeside.css"].decode()
    for path in STATIC.rglob("*.css"):
        assert path.read_text() in sheet, path


# -- served ----------------------------------------------------------------------------


def test_a_tab_loads_three_files_that_its_browser_keeps(served, ours):
    _, front = get(served, "")
    names = [f"v/{ours.version}/{name}" for name in ours.kept]
    assert len(names) == 3
    for name in names:
        assert front.count(f'"{name}"'.encode()) == 1, name
        headers, _ = get(served, name)
        assert headers["Cache-Control"] == "max-age=31536000, immutable"
        assert headers["Content-Type"].split(";")[0] in ("text/javascript", "text/css")


def test_the_front_page_is_asked_for_anew_each_time(served):
    headers, _ = get(served, "")
    assert headers["Cache-Control"] == "no-cache"


def test_what_draws_plots_is_kept_too_and_not_asked_for_by_the_front_page(served, ours):
    headers, _ = get(served, f"v/{ours.version}/bokeh/bokeh.min.js")
    assert headers["Cache-Control"] == "max-age=31536000, immutable"
    assert b"bokeh" not in get(served, "")[1]


@pytest.mark.parametrize("path", ["v/0/scopeside.js", "v/{}/x.js", "v/{}/js/main.js"])
def test_of_another_version_there_is_nothing(served, ours, path):
    with pytest.raises(HTTPError, match="404"):
        urlopen(f"{served.address}/{path.format(ours.version)}")


def test_the_modules_can_be_had_apart_to_look_into_them(served):
    _, front = get(served, "?apart")
    assert b'src="js/main.js"' in front
    assert get(served, "js/main.js")[1] == (STATIC / "js/main.js").read_bytes()


def test_the_version_changes_with_any_file(tmp_path):
    for name in ("index.html", "js/theme_first.js", "js/main.js"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("<html >")
    (tmp_path / "js/main.js").write_text("1;")
    before = bundle(bokeh_scripts(), tmp_path).version
    (tmp_path / "js/main.js").write_text("2;")
    assert bundle(bokeh_scripts(), tmp_path).version != before
