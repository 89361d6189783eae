"""`act-gym shop`: WebShop as web pages on this machine, for people and for agents that use a browser.

The pages show the state of the environment's engine, and every click is one of its actions. A visitor gets the same
shop and the same reward as an agent that reads text.

```
serve.py       the program: arguments, start and stop
server.py      HTTP server on 127.0.0.1, and the secret in its URL
routes.py      routes: maps URLs to pages and actions
sessions.py    sessions: one visitor is one episode
recording.py   the files of recorded episodes
pages.py       all pages as HTML
html.py        escaped HTML, and the layout of all pages
static/        style, script and icons
```
"""
