"""Dash: a page, its callbacks, an upload through one of them, and a large download."""

import base64

from dash import Dash, Input, Output, dcc, html

dash = Dash(__name__)
dash.layout = html.Div([dcc.Upload(id="upload"), html.Div(id="seen"), dcc.Download(id="file")])


@dash.callback(Output("seen", "children"), Input("upload", "contents"), prevent_initial_call=True)
def seen(contents: str) -> str:
    data = base64.b64decode(contents.partition(",")[2])
    with open("uploads.log", "a") as uploads:
        uploads.write(f"{len(data)}\n")
    return f"{len(data)} bytes"


app = dash.server


@app.route("/stream")
def stream() -> object:
    return (f"line {number}\n" for number in range(2000))
