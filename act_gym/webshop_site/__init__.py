"""`act-gym shop`: WebShop as web pages on this machine, for people and for agents that use a browser.

The pages show the state of the environment's engine, and every click is one of its actions. A visitor gets the same
shop and the same reward as an agent that reads text.

```
serve.py      the program: arguments, opening and closing
server.py     HTTP on 127.0.0.1;  guard.py  who may come in
site.py       addresses: which page, which action
customers.py  one visitor, one episode;  recording.py  the file of episodes
pages.py, ending.py, tasks.py   what pages say, as HTML;  markup.py  escapes it;  static/  how it looks
```
"""
