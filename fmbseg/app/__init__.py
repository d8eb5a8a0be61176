"""``fmbseg app``: a page in the browser that segments, labels, corrects and trains.

What the page does is in modules without Gradio (:mod:`~fmbseg.app.place`,
:mod:`~fmbseg.app.segmenting`, ...); each tab is a thin file that lays it out. The server lets in only what
comes from the page itself (:mod:`~fmbseg.app.guard`).
"""
