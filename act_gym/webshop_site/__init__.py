"""`act-gym shop`: WebShop as web pages on this machine, for people and for agents that use a browser.

The pages show what the environment's engine holds, and everything that is clicked on is one of its actions. So whoever
shops here sees the same shop as an agent that reads text, and gets the same reward.

```
serve.py      the program: arguments, opening and closing
server.py     HTTP on 127.0.0.1;  guard.py  who may come in
site.py       addresses: which page, which action
customers.py  one visitor, one episode;  recording.py  the file of episodes
pages.py, ending.py, tasks.py   what pages say, as HTML;  markup.py  escapes it;  static/  how it looks
```
"""
