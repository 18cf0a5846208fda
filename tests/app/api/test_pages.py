import re

from flask.testing import FlaskClient


def test_the_root_leads_to_the_docs(sqlite_client: FlaskClient) -> None:
    response = sqlite_client.get("/")
    assert (response.status_code, response.headers["Location"]) == (302, "/docs")


def test_the_docs_load_nothing_from_another_host_and_run_no_inline_script(
    sqlite_client: FlaskClient,
) -> None:
    page = sqlite_client.get("/docs")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert not re.search(r"https?://|<script>|\son\w+=", page.text)
    addresses = re.findall(r'(?:src|href|data-spec)="(/[^"]+)"', page.text)
    assert {address.rpartition("/")[2] for address in addresses} == {
        "swagger-ui.css",
        "swagger-ui-bundle.js",
        "docs.js",
        "openapi.json",
    }
    for address in addresses:
        with sqlite_client.get(address) as response:
            assert response.status_code == 200, address
            assert len(response.get_data()) > 100


def test_the_licence_of_the_vendored_files_is_beside_them(sqlite_client: FlaskClient) -> None:
    with sqlite_client.get("/static/vendor/swagger-ui/LICENSE") as response:
        assert "Apache License" in response.text
