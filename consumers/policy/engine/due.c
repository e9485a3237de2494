/* A binary heap whose members know their place, so that changing one costs a logarithm and asking for the first nothing. */
#include "consumers/policy/engine/due.h"

#include <string.h>

void due_init(DueTime *due, DueKind kind)
{
    due->at_us = INT64_MAX;
    due->kind = kind;
}

void due_heap_init(DueHeap *heap)
{
    heap->all = g_ptr_array_new();
}

void due_heap_clear(DueHeap *heap)
{
    g_clear_pointer(&heap->all, g_ptr_array_unref);
}

static bool is_before(const DueTime *a, const DueTime *b)
{
    if (a->at_us != b->at_us)
        return a->at_us < b->at_us;
    if (a->kind != b->kind)
        return a->kind < b->kind;
    if (a->priority != b->priority)
        return a->priority > b->priority;
    return a->order != b->order ? a->order < b->order : g_strcmp0(a->name, b->name) < 0;
}

static void put_at(DueHeap *heap, guint place, DueTime *due)
{
    heap->all->pdata[place] = due;
    due->place = place;
}

static void move_up(DueHeap *heap, guint place, DueTime *due)
{
    for (; place > 0 && is_before(due, heap->all->pdata[(place - 1) / 2]); place = (place - 1) / 2)
        put_at(heap, place, heap->all->pdata[(place - 1) / 2]);
    put_at(heap, place, due);
}

static void move_down(DueHeap *heap, guint place, DueTime *due)
{
    for (guint child; (child = 2 * place + 1) < heap->all->len; place = child) {
        if (child + 1 < heap->all->len && is_before(heap->all->pdata[child + 1], heap->all->pdata[child]))
            child++;
        if (!is_before(heap->all->pdata[child], due))
            break;
        put_at(heap, place, heap->all->pdata[child]);
    }
    put_at(heap, place, due);
}

static void take_out(DueHeap *heap, DueTime *due)
{
    DueTime *last = heap->all->pdata[heap->all->len - 1];
    guint place = due->place;

    g_ptr_array_set_size(heap->all, (gint) heap->all->len - 1);
    if (last == due)
        return;
    move_up(heap, place, last);
    move_down(heap, last->place, last);
}

void due_set(DueHeap *heap, DueTime *due, int64_t at_us)
{
    if (at_us == due->at_us)
        return;
    if (due->at_us != INT64_MAX)
        take_out(heap, due);
    due->at_us = at_us;
    if (at_us == INT64_MAX)
        return;
    g_ptr_array_add(heap->all, NULL);
    move_up(heap, heap->all->len - 1, due);
}

DueTime *due_first(const DueHeap *heap)
{
    return heap->all->len == 0 ? NULL : heap->all->pdata[0];
}
