"""Every picture and page that fmbseg draws: colours, maps, masks, legends, sheets, templates."""
