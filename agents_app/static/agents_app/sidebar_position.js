// Restores the scroll position of the sidebar's list. Not a module, which would run after the
// page has been drawn.

document.querySelector("[data-sidebar-chats]").scrollTop = sessionStorage.getItem("sidebar position");
