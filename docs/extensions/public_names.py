"""Lets docstrings name public objects by their bare name: `Acquisition`, `ricom`."""

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

MODULES = ("", ".imaging", ".io", ".optics", ".simulation", ".lazy", ".hyperspy")


def find_public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.reference | None:
    """Resolve a Python reference that Sphinx could not, as a name of one of our modules."""
    if node.get("refdomain") != "py":
        return None
    name = node["reftarget"].removeprefix("stem_plugins.")
    candidates = [name, name.split(".", 1)[-1], name.rsplit(".", 1)[-1]]
    domain = env.get_domain("py")
    for candidate in candidates:
        for module in MODULES:
            found = domain.objects.get(f"stem_plugins{module}.{candidate}")
            if found is not None:
                uri = app.builder.get_relative_uri(node["refdoc"], found.docname)
                reference = nodes.reference("", "", internal=True)
                reference["refuri"] = f"{uri}#{found.node_id}"
                reference += content
                return reference
    return None


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the resolver."""
    app.connect("missing-reference", find_public_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
