"""Templates: default rules and dynamic files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portway.edge.providers.template import Record, Template, TemplateError

MODEL = Record(
    Name="plain-web",
    ContainerName="proj-web-1",
    Labels={"app": "My_App", "host": "a.test,b.test", "port": "8080"},
)


def render(text: str) -> str:
    return Template(text).render(MODEL)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        # what people write as defaultRule
        ("Host(`{{ normalize .Name }}`)", "Host(`plain-web`)"),
        ("Host(`{{ .Name }}.example.com`)", "Host(`plain-web.example.com`)"),
        ("Host(`{{normalize .ContainerName}}.local`)", "Host(`proj-web-1.local`)"),
        ("Host(`{{ trimPrefix `proj-` .ContainerName }}`)", "Host(`web-1`)"),
        ('Host(`{{ index .Labels "app" }}`)', "Host(`My_App`)"),
        ('Host(`{{ index .Labels "app" | lower | replace "_" "-" }}`)', "Host(`my-app`)"),
        ('Host(`{{ or (index .Labels "none") .Name }}`)', "Host(`plain-web`)"),
        ('{{ index .Labels "none" | default "fallback" }}', "fallback"),
        ('{{ printf "%s-%03d%%" .Name 7 }}', "plain-web-007%"),
        ('{{ if index .Labels "none" }}a{{ else if .Name }}b{{ else }}c{{ end }}', "b"),
        (
            '{{ range $i, $h := splitList "," (index .Labels "host") }}'
            "{{ if $i }} || {{ end }}Host(`{{ $h }}`){{ end }}",
            "Host(`a.test`) || Host(`b.test`)",
        ),
        ('{{ $parts := split "-" .ContainerName }}{{ $parts._1 }}', "web"),
        ('{{ (split "-" .ContainerName)._0 }}', "proj"),
        ("{{ .Labels.app }}", "My_App"),
        ("{{ .Labels.nope }}", "<no value>"),
        ('{{ with index .Labels "app" }}[{{ . }}]{{ $.Name }}{{ end }}', "[My_App]plain-web"),
        ("a {{- /* no */ -}} b", "ab"),
        ("a {{- 3 -}} b", "a3b"),
        ('{{ "x" -}}   y', "xy"),
        ('{{ regexReplaceAll "(.)-.*" .Name "${1}!" }}', "plain!"),
        ('{{ eq .Name "a" "plain-web" }}', "true"),
        ('{{ and .Name (ne .Name "x") | not }}', "false"),
        ('{{ "tab\\t\\"q\\"" }}', 'tab\t"q"'),
        ("{{ range until 3 }}{{ . }}{{ end }}", "012"),
        ("{{ range .Labels }}{{ . }};{{ end }}", "My_App;a.test,b.test;8080;"),
        ("{{ range list }}x{{ else }}empty{{ end }}", "empty"),
        ('{{ $x := "a" }}{{ if true }}{{ $x = "b" }}{{ end }}{{ $x }}', "b"),
        ('{{ add 1 2 | mul 3 }}/{{ div 7 2 }}/{{ mod 7 2 }}/{{ atoi "42" }}', "9/3/1/42"),
        ("no braces {at} all", "no braces {at} all"),
    ],
)
def test_forms_people_use(text: str, result: str) -> None:
    assert render(text) == result


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("{{ .Nam }}", "line 1, column 4", "no field .Nam; there are .Name, .ContainerName"),
        ("a\nb {{ normalise .Name }}", "line 2, column 6", "did you mean 'normalize'?"),
        ("Host(`{{ .Name }`)", "line 1, column 16", "unexpected '}'"),
        ("{{ .Name", "line 1, column 1", "never closed"),
        ("{{ if .Name }}x", "line 1, column 1", "no {{end}}"),
        ("x{{ end }}", "line 1, column 2", "unexpected {{end}}"),
        ("{{ }}{{ | }}", "line 1, column 9", "unexpected '|'"),
        ("{{ (.Name }}", "line 1, column 4", "never closed"),
        ("{{ $x }}", "line 1, column 4", "undefined variable '$x'"),
        ("{{ .Name .Name }}", "line 1, column 10", "not a function"),
        ('{{ template "x" }}', "line 1, column 4", "not supported"),
        ("{{ index .Labels 1 2 }}", "line 1, column 4", "index"),
        ("{{ lower }}", "line 1, column 4", "lower"),
        ("{{ trimPrefix 1 2 }}", "line 1, column 4", "trimPrefix"),
        ('{{ regexMatch "(" .Name }}', "line 1, column 4", "not a regular expression"),
        ('{{ repeat 1000000 "x" }}', "line 1, column 4", "too long"),
        ("{{ div 1 0 }}", "line 1, column 4", "division by zero"),
        ("{{ " + "(" * 60 + "1" + ")" * 60 + " }}", "line 1, column 54", "nested deeper"),
    ],
)
def test_errors_name_the_position(text: str, position: str, message: str) -> None:
    with pytest.raises(TemplateError) as error:
        render(text)
    assert str(error.value).startswith(position), str(error.value)
    assert message in str(error.value)


def test_the_environment_is_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTWAY_DOMAIN", "example.com")
    assert (
        render('Host(`{{ .Name }}.{{ env "PORTWAY_DOMAIN" }}`)') == "Host(`plain-web.example.com`)"
    )


def test_output_is_bounded() -> None:
    text = "{{ range until 90000 }}{{ range until 90000 }}" + "x" * 100 + "{{ end }}{{ end }}"
    with pytest.raises(TemplateError, match="longer than"):
        render(text)


@given(st.text(alphabet="{}() .$|:=,\"`'\\-/*NameLabelsrangeifendelsewith019\n", max_size=80))
def test_any_text_renders_or_is_an_error(text: str) -> None:
    try:
        Template(text).render(MODEL)
    except TemplateError:
        return
