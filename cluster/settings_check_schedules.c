/* settings_check_schedules - cross checks of the schedules (see settings_inside.h) */
#include "cluster/settings_inside.h"

static void check_schedule(struct settings_check *check, const struct setting_schedule *schedule)
{
    check_match(check, &schedule->tenant, &schedule->pool, &schedule->provider);
    if (schedule->name == NULL)
        return;
    bool says_when = check_given(check, &schedule->windows),
         says_how_much = check_given(check, &schedule->release_count);
    if (!says_when && !says_how_much)
        check_fault(check, &schedule->name,
            "the schedule `%s` says nothing; give it `windows`, a `release`, or both", schedule->name);
}

void settings_check_schedules(struct settings_check *check)
{
    const struct settings *settings = &check->block->settings;
    struct map names = {0};
    for (size_t i = 0; i < settings->schedule_count; i++) {
        struct setting_schedule *schedule = &settings->schedules[i];
        check_schedule(check, schedule);
        if (schedule->name == NULL)
            continue;
        const struct setting_schedule *first = map_get_text(&names, schedule->name);
        if (first != NULL)
            check_fault(check, &schedule->name, "the schedule `%s` is given twice; first in line %u",
                schedule->name, check_where(check, &first->name).line);
        else
            map_set_text(&names, schedule->name, schedule);
    }
    map_free(&names);
}
