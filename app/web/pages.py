"""Pages for people."""

from apiflask import APIBlueprint
from flask import redirect, render_template, url_for
from werkzeug.wrappers import Response

blueprint = APIBlueprint("pages", __name__, enable_openapi=False)


@blueprint.get("/")
def home() -> Response:
    """Go to the page that tells what there is."""
    return redirect(url_for("pages.docs"))


@blueprint.get("/docs")
def docs() -> str:
    """Try the API: Swagger UI, from files of our own."""
    return render_template("docs.html")
