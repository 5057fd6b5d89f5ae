"""The base of long lists: finds the keys of a page's rows first, and then reads those rows."""

from typing import Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ALL_VAR, PAGE_VAR, ChangeList
from django.db.models import OrderBy, QuerySet
from django.http import HttpRequest

from sessions_app.admin.paging import KeyPage, KeyPaginator, PageLink


class KeyedChangeList(ChangeList):
    """Finds the keys of a page's rows first, and then reads the columns of those rows.

    `queryset`, which actions receive too, has the filters, the search and the order, but no
    annotations for columns: the database would compute them for rows that no page shows.
    """

    page: KeyPage

    def get_results(self, request: HttpRequest) -> None:
        # An action receives the queryset, and does not show the list.
        is_action = request.method == "POST" and ACTION_CHECKBOX_NAME in request.POST
        rows = self.queryset.none() if is_action else self.queryset
        paginator = KeyPaginator(rows, self.list_per_page)
        count = paginator.count
        self.can_show_all = count.is_exact and count <= self.list_max_show_all
        if self.show_all and self.can_show_all:
            paginator.per_page = max(1, count)
        self.page = paginator.page(self.page_num)
        self.page_num = self.page.number
        # Finding the page may have required an exact count.
        self.result_count = count = paginator.count
        self.result_list: Any = self.rows(self.page.keys)
        self.multi_page = not count.is_exact or count > self.list_per_page
        self.paginator = paginator
        self.page_links = self._links(paginator) if paginator.num_pages > 1 else []
        self.show_all_url = self.get_query_string({ALL_VAR: ""})
        self.show_full_result_count = False
        self.full_result_count = None

    def rows(self, ids: list[Any]) -> list[Any]:
        """Return these rows in this order, with the data of the columns."""
        found = self.with_columns(self.root_queryset.filter(pk__in=ids)).in_bulk()
        return [found[pk] for pk in ids if pk in found]

    def with_columns(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Add the data of the list's columns to these rows, and remove the order."""
        return rows.order_by()

    def _links(self, paginator: KeyPaginator) -> list[tuple[PageLink, str]]:
        """Return the pagination's links with their addresses."""
        return [
            (link, self.get_query_string({PAGE_VAR: link.number}) if link.number else "")
            for link in paginator.links(self.page)
        ]

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """Return the requested order, with ties in the same direction, so that one index is enough.

        Django would break ties in its default order.
        """
        ordering = list(super().get_ordering(request, queryset.order_by()))
        match ordering:
            case [OrderBy(descending=False), "-pk"]:
                return [ordering[0], "pk"]
            case [str(field), "-pk"] if not field.startswith("-"):
                return [field, "pk"]
        return ordering
